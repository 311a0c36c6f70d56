"""The API: routes, refusals, pages and limits."""

import re
from collections.abc import Callable
from typing import Any

from tests.servers.cloud import Answer, Call, CloudServer, Document
from tests.servers.hetzner import catalog, contract
from tests.servers.hetzner.world import (
    Address,
    Firewall,
    Key,
    Server,
    Volume,
    World,
    hourly_of_volume,
    selected,
    stamp,
)

TOKEN = "hcloudTestToken0000000000000000000000000000000000000000000000AB"
PREFIX = "/v1"
MAX_PAGE = 50
USER_DATA_BYTES = 32768


class Refused(Exception):
    """A call that is refused."""

    def __init__(self, status: int, code: str, message: str, **details: Any) -> None:
        super().__init__(message)
        self.answer = error(status, code, message, **details)


def error(status: int, code: str, message: str, **details: Any) -> Answer:
    """Return an error as the API writes it."""
    return Answer(
        status, {"error": {"code": code, "message": message, "details": details or None}}
    )  # fmt: skip


def too_many(reset_s: int, *, retry_after: bool = True) -> Answer:
    """Return the answer to somebody who asks too often."""
    made = error(429, "rate_limit_exceeded", "limit of 3600 requests per hour reached")
    extra = {"Retry-After": str(reset_s)} if retry_after else {}
    limits = {
        "RateLimit-Limit": "3600",
        "RateLimit-Remaining": "0",
        "RateLimit-Reset": "1795000060",
    }
    return Answer(made.status, made.body, {**limits, **extra})


Route = Callable[["HetznerServer", Call, "re.Match[str]"], Answer]


class HetznerServer(CloudServer):
    """A project of the cloud on a loopback port."""

    def __init__(self, *, token: str = TOKEN, server_limit: int = 10) -> None:
        super().__init__()
        self.world = World()
        self.token = token
        self.server_limit = server_limit

    @property
    def api(self) -> str:
        """What the client takes as `api_endpoint`."""
        return f"{self.url}{PREFIX}"

    def check(self, call: Call, answer: Answer | None) -> None:
        """Hold a call or its answer against the published contract."""
        path = call.path.removeprefix(PREFIX)
        if answer is None:
            self.violations += contract.faults_of_request(call, path)
        elif answer.status < 500:
            self.violations += contract.faults_of_answer(call, path, answer)

    def work(self, call: Call) -> Answer:
        """Answer a call."""
        if call.headers.get("authorization") != f"Bearer {self.token}":
            return error(401, "unauthorized", "unable to authenticate")
        for method, pattern, route in ROUTES:
            found = re.fullmatch(PREFIX + pattern, call.path)
            if method == call.method and found:
                try:
                    return route(self, call, found)
                except Refused as refused:
                    return refused.answer
        return error(404, "not_found", f"no route {call.method} {call.path}")

    # -- reading

    def _page(self, call: Call, key: str, rows: list[Any]) -> Answer:
        name, selector = call.one("name"), call.one("label_selector")
        finger, ip = call.one("fingerprint"), call.one("ip")
        rows = [row for row in rows if name is None or row["name"] == name]
        rows = [row for row in rows if finger is None or row["fingerprint"] == finger]
        rows = [row for row in rows if ip is None or row["ip"] == ip]
        if selector is not None:
            rows = [row for row in rows if selected(row["labels"], selector)]
        page, size = int(call.one("page", "1") or 1), int(call.one("per_page", "25") or 25)
        if size > MAX_PAGE:
            raise Refused(422, "invalid_input", f"per_page must be at most {MAX_PAGE}")
        last = max(1, -(-len(rows) // size))
        shown = rows[(page - 1) * size : page * size]
        pages = {
            "page": page, "per_page": size, "previous_page": page - 1 if page > 1 else None,
            "next_page": page + 1 if page < last else None, "last_page": last,
            "total_entries": len(rows),
        }  # fmt: skip
        return Answer(200, {key: shown, "meta": {"pagination": pages}})

    def list_servers(self, call: Call, _: "re.Match[str]") -> Answer:
        return self._page(call, "servers", [s.document() for s in self.world.servers.values()])

    def list_keys(self, call: Call, _: "re.Match[str]") -> Answer:
        return self._page(call, "ssh_keys", [k.document() for k in self.world.keys.values()])

    def list_firewalls(self, call: Call, _: "re.Match[str]") -> Answer:
        return self._page(call, "firewalls", [f.document() for f in self.world.firewalls.values()])

    def list_addresses(self, call: Call, _: "re.Match[str]") -> Answer:
        return self._page(
            call, "primary_ips", [a.document() for a in self.world.addresses.values()]
        )

    def list_volumes(self, call: Call, _: "re.Match[str]") -> Answer:
        return self._page(call, "volumes", [v.document() for v in self.world.volumes.values()])

    def list_locations(self, call: Call, _: "re.Match[str]") -> Answer:
        return self._page(call, "locations", [catalog.location(name) for name in catalog.LOCATIONS])

    def list_types(self, call: Call, _: "re.Match[str]") -> Answer:
        rows = [catalog.server_type(row) for row in self.world.types.values()]
        if not self.world.says_places:
            rows = [{k: v for k, v in row.items() if k != "locations"} for row in rows]
        return self._page(call, "server_types", rows)

    def pricing(self, call: Call, _: "re.Match[str]") -> Answer:
        told = catalog.pricing(self.world.types) | {"currency": self.world.currency}
        return Answer(200, {"pricing": told})

    def get_server(self, call: Call, found: "re.Match[str]") -> Answer:
        return Answer(200, {"server": self._server(found).document()})

    def get_action(self, call: Call, found: "re.Match[str]") -> Answer:
        action = self.world.actions.get(int(found[1]))
        if action is None:
            raise Refused(404, "not_found", f"action with ID '{found[1]}' not found")
        action.look()
        return Answer(200, {"action": action.document()})

    def server_actions(self, call: Call, found: "re.Match[str]") -> Answer:
        number = self._server(found).id
        rows = [
            a for a in self.world.actions.values()
            if {"id": number, "type": "server"} in a.resources
        ]  # fmt: skip
        wanted = call.query.get("status")
        for row in rows:
            row.look()
        return self._page(
            call, "actions", [r.document() for r in rows if not wanted or r.status in wanted]
        )

    # -- making

    def create_key(self, call: Call, _: "re.Match[str]") -> Answer:
        self._check_labels(call.body)
        text = call.body["public_key"]
        if len(text.split()) < 2:
            raise Refused(422, "invalid_input", "invalid public key", fields=[])
        key = Key(
            self.world.number(), call.body["name"], call.body.get("labels", {}), stamp(self.now_s),
            public_key=text,
        )  # fmt: skip
        taken = self.world.keys.values()
        if any(k.name == key.name or k.fingerprint == key.fingerprint for k in taken):
            raise Refused(409, "uniqueness_error", "SSH key not unique", fields=[])
        self.world.keys[key.id] = key
        return Answer(201, {"ssh_key": key.document()})

    def create_firewall(self, call: Call, _: "re.Match[str]") -> Answer:
        self._check_labels(call.body)
        name = call.body["name"]
        if any(f.name == name for f in self.world.firewalls.values()):
            raise Refused(409, "uniqueness_error", "firewall name is already used", fields=[])
        self._check_rules(call.body.get("rules", []))
        made = Firewall(
            self.world.number(), name, call.body.get("labels", {}), stamp(self.now_s),
            rules=call.body.get("rules", []),
        )  # fmt: skip
        self.world.firewalls[made.id] = made
        return Answer(201, {"firewall": made.document(), "actions": []})

    def set_rules(self, call: Call, found: "re.Match[str]") -> Answer:
        firewall = self._of(self.world.firewalls, found, "firewall")
        self._check_rules(call.body["rules"])
        firewall.rules = call.body["rules"]
        action = self.world.action("set_firewall_rules", self.now_s)
        return Answer(201, {"actions": [action.document()]})

    def create_server(self, call: Call, _: "re.Match[str]") -> Answer:
        wanted: Document = call.body
        self._check_server(wanted)
        server = Server(
            self.world.number(), wanted["name"], wanted.get("labels", {}), stamp(self.now_s),
            type=self.world.types[wanted["server_type"]], location=wanted.get("location", "fsn1"),
            user_data=wanted.get("user_data", ""), keys=self._keys(wanted),
            firewalls=[each["firewall"] for each in wanted.get("firewalls", [])],
        )  # fmt: skip
        if not server.keys:
            server.password = "YItygq1v3GYjjMomLaKc"
            self.world.mails.append(server.name)
        self.world.servers[server.id] = server
        self.world.ever.append(server.name)
        server.bill = self.meter("server", server.name, server.type.hourly)
        self._addresses(server, wanted.get("public_net", {}))
        for number in server.firewalls:
            self.world.firewalls[number].servers.add(server.id)
        return self._created(server)

    def _created(self, server: Server) -> Answer:
        def runs() -> None:
            server.status = "running"

        first = self.world.action("create_server", self.now_s, server=server.id)
        then = self.world.action("start_server", self.now_s, server=server.id, on_end=runs)
        return Answer(
            201,
            {
                "server": server.document(), "action": first.document(),
                "next_actions": [then.document()], "root_password": server.password,
            },
        )  # fmt: skip

    def _check_server(self, wanted: Document) -> None:
        self._check_labels(wanted)
        if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,61}[A-Za-z0-9])?", wanted["name"]):
            raise Refused(422, "invalid_input", "invalid input in field 'name'", fields=[])
        if any(s.name == wanted["name"] for s in self.world.servers.values()):
            raise Refused(409, "uniqueness_error", "server name is already used", fields=[])
        if len(wanted.get("user_data", "").encode()) > USER_DATA_BYTES:
            raise Refused(422, "invalid_input", "user_data is too long", fields=[])
        if len(self.world.servers) >= self.server_limit:
            raise Refused(403, "resource_limit_exceeded", "server limit exceeded")
        row = self.world.types.get(wanted["server_type"])
        if row is None:
            raise Refused(422, "invalid_input", "server type not found", fields=[])
        place = wanted.get("location", "fsn1")
        if place not in row.locations:
            raise Refused(422, "invalid_input", "unsupported location for server type", fields=[])
        if row.retired:
            raise Refused(422, "invalid_input", "server type is deprecated", fields=[])
        if place in row.sold_out | row.short:
            raise Refused(412, "resource_unavailable", "error during placement")
        if wanted["image"] != "debian-12":
            raise Refused(422, "invalid_input", "image not found", fields=[])

    @staticmethod
    def _check_rules(rules: list[Document]) -> None:
        for each in (source for rule in rules for source in rule.get("source_ips", [])):
            if "/" not in each:
                raise Refused(422, "invalid_input", f"{each} must be in CIDR notation", fields=[])

    def _check_labels(self, wanted: Document) -> None:
        for key, value in wanted.get("labels", {}).items():
            if not re.fullmatch(r"([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?", value):
                raise Refused(422, "invalid_input", f"invalid label {key}={value}", fields=[])

    def _keys(self, wanted: Document) -> list[int]:
        found = []
        for each in wanted.get("ssh_keys", []):
            keys = [k.id for k in self.world.keys.values() if str(each) in (str(k.id), k.name)]
            if not keys:
                raise Refused(422, "invalid_input", f"SSH key {each} not found", fields=[])
            found += keys
        return found

    def _addresses(self, server: Server, public_net: Document) -> None:
        for kind in ("ipv4", "ipv6"):
            if not public_net.get(f"enable_{kind}", True):
                continue
            number = self.world.number()
            text = f"192.0.2.{number % 250 + 1}" if kind == "ipv4" else f"2001:db8:{number:x}::/64"
            address = Address(
                number, f"primary_ip-{number}", {}, stamp(self.now_s), ip=text, type=kind,
                location=server.location, server=server.id,
            )  # fmt: skip
            if kind == "ipv4":
                address.bill = self.meter("ipv4", address.name, catalog.IPV4_HOURLY)
            self.world.addresses[number] = address
            server.addresses.append(address)

    # -- changing and ending

    def change_server(self, call: Call, found: "re.Match[str]") -> Answer:
        server = self._server(found)
        self._check_labels(call.body)
        server.name = call.body.get("name", server.name)
        server.labels = call.body.get("labels", server.labels)
        return Answer(200, {"server": server.document()})

    def change_address(self, call: Call, found: "re.Match[str]") -> Answer:
        address = self._of(self.world.addresses, found, "primary IP")
        address.labels = call.body.get("labels", address.labels)
        address.auto_delete = call.body.get("auto_delete", address.auto_delete)
        return Answer(200, {"primary_ip": address.document()})

    def power(self, call: Call, found: "re.Match[str]") -> Answer:
        server = self._server(found)
        word = found[2]

        def ends() -> None:
            server.status = "running" if word in ("poweron", "reboot") else "off"

        def stays() -> None:
            server.status = was

        was = server.status
        if word == "poweron" and was == "off":
            server.status = "starting"
        command = {
            "poweron": "start_server", "poweroff": "stop_server", "shutdown": "shutdown_server",
            "reboot": "reboot_server",
        }[word]  # fmt: skip
        action = self.world.action(
            command, self.now_s, server=server.id, on_end=ends, on_error=stays
        )  # fmt: skip
        return Answer(201, {"action": action.document()})

    def delete_server(self, call: Call, found: "re.Match[str]") -> Answer:
        server = self._server(found)
        if server.is_locked:
            raise Refused(423, "locked", "server is locked")
        del self.world.servers[server.id]
        self._over(server)
        for address in server.addresses:
            address.server = None
            if address.auto_delete:
                self.world.addresses.pop(address.id, None)
                self._over(address)
        for volume in self.world.volumes.values():
            if volume.server == server.id:
                volume.server = None
        for firewall in self.world.firewalls.values():
            firewall.servers.discard(server.id)
        action = self.world.action("delete_server", self.now_s, server=server.id)
        return Answer(200, {"action": action.document()})

    def delete_key(self, call: Call, found: "re.Match[str]") -> Answer:
        self.world.keys.pop(self._of(self.world.keys, found, "SSH key").id)
        return Answer(204)

    def delete_firewall(self, call: Call, found: "re.Match[str]") -> Answer:
        firewall = self._of(self.world.firewalls, found, "firewall")
        if firewall.servers:
            raise Refused(422, "resource_in_use", "firewall is in use")
        self.world.firewalls.pop(firewall.id)
        return Answer(204)

    def delete_address(self, call: Call, found: "re.Match[str]") -> Answer:
        address = self._of(self.world.addresses, found, "primary IP")
        if address.server is not None:
            raise Refused(422, "must_be_unassigned", "the primary IP is assigned")
        self._over(self.world.addresses.pop(address.id))
        return Answer(204)

    def delete_volume(self, call: Call, found: "re.Match[str]") -> Answer:
        volume = self._of(self.world.volumes, found, "volume")
        if volume.server is not None:
            raise Refused(422, "volume_still_attached", "the volume is attached to a server")
        self._over(self.world.volumes.pop(volume.id))
        return Answer(204)

    def detach_volume(self, call: Call, found: "re.Match[str]") -> Answer:
        volume = self._of(self.world.volumes, found, "volume")
        volume.server = None
        return Answer(201, {"action": self.world.action("detach_volume", self.now_s).document()})

    def add_volume(self, name: str, *, server: int | None, labels: dict[str, str]) -> Volume:
        """Put a volume into the world, as somebody's hand did."""
        made = Volume(self.world.number(), name, labels, stamp(self.now_s), server=server)
        made.bill = self.meter("volume", name, hourly_of_volume(made.size))
        self.world.volumes[made.id] = made
        return made

    def _over(self, thing: Any) -> None:
        if thing.bill is not None:
            thing.bill.gone_s = self.now_s

    def _server(self, found: "re.Match[str]") -> Server:
        return self._of(self.world.servers, found, "server")  # type: ignore[no-any-return]

    @staticmethod
    def _of(things: dict[int, Any], found: "re.Match[str]", what: str) -> Any:
        thing = things.get(int(found[1]))
        if thing is None:
            raise Refused(404, "not_found", f"{what} with ID '{found[1]}' not found")
        return thing


ROUTES: list[tuple[str, str, Route]] = [
    ("GET", "/servers", HetznerServer.list_servers),
    ("POST", "/servers", HetznerServer.create_server),
    ("GET", r"/servers/(\d+)", HetznerServer.get_server),
    ("PUT", r"/servers/(\d+)", HetznerServer.change_server),
    ("DELETE", r"/servers/(\d+)", HetznerServer.delete_server),
    ("GET", r"/servers/(\d+)/actions", HetznerServer.server_actions),
    ("POST", r"/servers/(\d+)/actions/(poweron|poweroff|shutdown|reboot)", HetznerServer.power),
    ("GET", r"/actions/(\d+)", HetznerServer.get_action),
    ("GET", "/ssh_keys", HetznerServer.list_keys),
    ("POST", "/ssh_keys", HetznerServer.create_key),
    ("DELETE", r"/ssh_keys/(\d+)", HetznerServer.delete_key),
    ("GET", "/firewalls", HetznerServer.list_firewalls),
    ("POST", "/firewalls", HetznerServer.create_firewall),
    ("DELETE", r"/firewalls/(\d+)", HetznerServer.delete_firewall),
    ("POST", r"/firewalls/(\d+)/actions/set_rules", HetznerServer.set_rules),
    ("GET", "/primary_ips", HetznerServer.list_addresses),
    ("PUT", r"/primary_ips/(\d+)", HetznerServer.change_address),
    ("DELETE", r"/primary_ips/(\d+)", HetznerServer.delete_address),
    ("GET", "/volumes", HetznerServer.list_volumes),
    ("POST", r"/volumes/(\d+)/actions/detach", HetznerServer.detach_volume),
    ("DELETE", r"/volumes/(\d+)", HetznerServer.delete_volume),
    ("GET", "/server_types", HetznerServer.list_types),
    ("GET", "/locations", HetznerServer.list_locations),
    ("GET", "/pricing", HetznerServer.pricing),
]
