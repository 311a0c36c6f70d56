"""The API: routes, refusals and pages."""

import re
import uuid
from collections.abc import Callable
from typing import Any

from tests.servers.cloud import Answer, Call, CloudServer, Document
from tests.servers.scaleway.world import (
    DISK_GB_HOURLY,
    GB,
    IPV4_HOURLY,
    Group,
    Ip,
    Server,
    Volume,
    default_types,
    stamp,
)

ACCESS_KEY = "SCW00000000000000000"
SECRET_KEY = "11111111-1111-4111-8111-111111111111"
PROJECT = "22222222-2222-4222-8222-222222222222"
ZONE = r"/zones/([a-z]+-[a-z]+-\d)"
MOST_A_PAGE = 100
STARTING = 2
"""How many looks a start takes."""


class Refused(Exception):
    """A call that is refused."""

    def __init__(self, status: int, kind: str, message: str, **more: Any) -> None:
        super().__init__(message)
        self.answer = error(status, kind, message, **more)


def error(status: int, kind: str, message: str, **more: Any) -> Answer:
    """Return an error as the API writes it."""
    return Answer(status, {"type": kind, "message": message, **more})


def too_many(seconds: int) -> Answer:
    """Return the answer to somebody who asks too often."""
    made = error(429, "too_many_requests", "too many requests")
    return Answer(made.status, made.body, {"Retry-After": str(seconds)})


Route = Callable[["ScalewayServer", Call, "re.Match[str]"], Answer]


class ScalewayServer(CloudServer):
    """A project on a loopback port."""

    def __init__(self, *, secret_key: str = SECRET_KEY) -> None:
        super().__init__()
        self.secret_key = secret_key
        self.types = default_types()
        self.servers: dict[str, Server] = {}
        self.ips: dict[str, Ip] = {}
        self.groups: dict[str, Group] = {}
        self.volumes: dict[str, Volume] = {}
        self.ever: list[str] = []
        """Names of the servers that were ever made."""
        self.no_start: set[str] = set()
        """Zones in which a start fails for want of a host."""
        self.has_quota = True
        self._last = 0

    def work(self, call: Call) -> Answer:
        """Answer a call."""
        if call.headers.get("x-auth-token") != self.secret_key:
            return error(401, "denied_authentication", "authentication is denied", method="api_key")
        for method, pattern, route in ROUTES:
            found = re.fullmatch(pattern, call.path)
            if method == call.method and found:
                try:
                    return route(self, call, found)
                except Refused as refused:
                    return refused.answer
        return error(404, "not_found", f"no route {call.method} {call.path}")

    def _id(self) -> str:
        self._last += 1
        return str(uuid.UUID(int=(0x4000 << 64) | (0x8000 << 48) | self._last))

    # -- reading

    def _page(self, call: Call, key: str, rows: list[Document]) -> Answer:
        name, tags = call.one("name"), call.query.get("tags", [])
        rows = [row for row in rows if name is None or name in row["name"]]
        wanted = [tag for each in tags for tag in each.split(",")]
        rows = [row for row in rows if set(wanted) <= set(row["tags"])]
        page, size = int(call.one("page", "1") or 1), int(call.one("per_page", "50") or 50)
        if size > MOST_A_PAGE:
            raise Refused(400, "invalid_arguments", "per_page is too large", details=[])
        shown = rows[(page - 1) * size : page * size]
        return Answer(200, {key: shown}, {"X-Total-Count": str(len(rows))})

    def list_types(self, call: Call, found: "re.Match[str]") -> Answer:
        rows = {n: t.document() for n, t in self.types.items() if found[1] in t.zones}
        return Answer(200, {"servers": rows}, {"X-Total-Count": str(len(rows))})

    def availability(self, call: Call, found: "re.Match[str]") -> Answer:
        rows = {
            name: {"availability": "shortage" if found[1] in each.short else "available"}
            for name, each in self.types.items() if found[1] in each.zones
        }  # fmt: skip
        return Answer(200, {"servers": rows}, {"X-Total-Count": str(len(rows))})

    def list_servers(self, call: Call, found: "re.Match[str]") -> Answer:
        rows = [s.document() for s in self.servers.values() if s.zone == found[1]]
        return self._page(call, "servers", rows)

    def get_server(self, call: Call, found: "re.Match[str]") -> Answer:
        server = self._of(self.servers, found)
        if server.state in ("starting", "stopping"):
            server.looks -= 1
            if server.looks <= 0:
                self._arrives(server)
        if server.id not in self.servers:
            raise Refused(404, "unknown_resource", f'"{server.id}" not found')
        return Answer(200, {"server": server.document()})

    def _arrives(self, server: Server) -> None:
        if server.state == "stopping" and server.state_detail == "terminating":
            self._gone(server)
            for volume in list(server.volumes):
                # A block volume is an object of its own, and stays.
                if volume.type == "l_ssd":
                    self._volume_gone(volume)
        elif server.state == "starting" and server.zone in self.no_start:
            server.state, server.state_detail = "stopped", "no host has room"
        elif server.state == "starting":
            server.state, server.state_detail = "running", "booted"
            if not server.user_data_at_boot:
                server.user_data_at_boot = server.user_data.get("cloud-init", "-")
            server.bill = server.bill or self.meter("server", server.name, server.type.hourly)
        else:
            server.state = "stopped"

    def get_user_data(self, call: Call, found: "re.Match[str]") -> Answer:
        server = self._of(self.servers, found)
        if found[3] not in server.user_data:
            raise Refused(404, "unknown_resource", "user data not found")
        return Answer(200, server.user_data[found[3]].encode())

    def list_user_data(self, call: Call, found: "re.Match[str]") -> Answer:
        return Answer(200, {"user_data": list(self._of(self.servers, found).user_data)})

    def list_ips(self, call: Call, found: "re.Match[str]") -> Answer:
        return self._page(
            call, "ips", [i.document() for i in self.ips.values() if i.zone == found[1]]
        )

    def list_groups(self, call: Call, found: "re.Match[str]") -> Answer:
        rows = [g.document() for g in self.groups.values() if g.zone == found[1]]
        return self._page(call, "security_groups", rows)

    def list_rules(self, call: Call, found: "re.Match[str]") -> Answer:
        group = self._of(self.groups, found)
        return Answer(200, {"rules": group.rules}, {"X-Total-Count": str(len(group.rules))})

    def get_volume(self, call: Call, found: "re.Match[str]") -> Answer:
        volume = self._of(self.volumes, found)
        if volume.type != "l_ssd":
            raise Refused(404, "unknown_resource", "volume not found")
        return Answer(200, {"volume": {**volume.of_server(), "tags": volume.tags, "server": None}})

    def get_block(self, call: Call, found: "re.Match[str]") -> Answer:
        volume = self._of(self.volumes, found)
        if volume.type != "sbs_volume":
            raise Refused(404, "not_found", "volume not found")
        return Answer(200, volume.block())

    # -- making

    def create_ip(self, call: Call, found: "re.Match[str]") -> Answer:
        self._may_make(call)
        key = self._id()
        ip = Ip(key, f"198.51.100.{self._last % 250 + 1}", found[1], call.body.get("tags", []))
        ip.bill = self.meter("ipv4", ip.id, IPV4_HOURLY)
        self.ips[key] = ip
        return Answer(201, {"ip": ip.document()})

    def create_group(self, call: Call, found: "re.Match[str]") -> Answer:
        self._may_make(call)
        body = call.body
        group = Group(
            self._id(), body["name"], found[1], body.get("tags", []),
            body.get("inbound_default_policy", "accept"),
            body.get("outbound_default_policy", "accept"), body["stateful"], stamp(self.now_s),
        )  # fmt: skip
        self.groups[group.id] = group
        return Answer(201, {"security_group": group.document()})

    def set_rules(self, call: Call, found: "re.Match[str]") -> Answer:
        group = self._of(self.groups, found)
        group.rules = [
            {**rule, "id": self._id(), "editable": True, "zone": group.zone}
            for rule in call.body["rules"]
        ]
        return Answer(200, {"rules": group.rules})

    def create_server(self, call: Call, found: "re.Match[str]") -> Answer:
        self._may_make(call)
        body, zone = call.body, found[1]
        row = self.types.get(body["commercial_type"])
        if row is None or zone not in row.zones or row.end_of_service:
            raise Refused(
                400, "invalid_arguments", "Validation Error",
                fields={"commercial_type": ["unknown"]},
            )  # fmt: skip
        if zone in row.sold_out:
            raise Refused(403, "out_of_stock", "resource is out of stock", resource=row.name)
        if any(key not in self.ips or self.ips[key].server for key in body["public_ips"]):
            raise Refused(400, "invalid_request", "ip is not available")
        ips = [self.ips[each] for each in body["public_ips"]]
        server = Server(
            self._id(), body["name"], zone, row, body.get("tags", []), body["security_group"],
            stamp(self.now_s), ips, [],
        )  # fmt: skip
        for slot in body.get("volumes", {}).values():
            server.volumes.append(self._new_volume(server, slot, row.local_gb))
        for ip in ips:
            ip.server = server.id
        self.servers[server.id] = server
        self.ever.append(server.name)
        return Answer(201, {"server": server.document()})

    def _new_volume(self, server: Server, slot: Document, local_gb: int) -> Volume:
        kind, size = slot["volume_type"], slot["size"]
        if kind == "l_ssd" and size > local_gb * GB:
            raise Refused(
                400, "invalid_arguments", "Validation Error", fields={"volumes": ["size"]}
            )
        volume = Volume(
            self._id(), slot.get("name", "disk"), server.zone, size, kind, server.id, [],
            stamp(self.now_s),
        )  # fmt: skip
        volume.bill = self.meter("volume", volume.id, DISK_GB_HOURLY[kind] * (size // GB))
        self.volumes[volume.id] = volume
        return volume

    def _may_make(self, call: Call) -> None:
        if not self.has_quota:
            raise Refused(403, "quotas_exceeded", "quota exceeded", details=[])
        for tag in (call.body or {}).get("tags", []):
            assert isinstance(tag, str)

    def set_user_data(self, call: Call, found: "re.Match[str]") -> Answer:
        server = self._of(self.servers, found)
        raw = call.body if isinstance(call.body, bytes) else str(call.body).encode()
        server.user_data[found[3]] = raw.decode()
        return Answer(204)

    def tag_block(self, call: Call, found: "re.Match[str]") -> Answer:
        volume = self._of(self.volumes, found)
        volume.tags = call.body.get("tags", volume.tags)
        return Answer(200, volume.block())

    # -- changing and ending

    def action(self, call: Call, found: "re.Match[str]") -> Answer:
        server, word = self._of(self.servers, found), call.body["action"]
        allowed = {
            "poweron": ("stopped", "stopped_in_place"), "poweroff": ("running",),
            "terminate": ("running", "stopped_in_place"),
        }[word]  # fmt: skip
        if server.state not in allowed:
            raise Refused(400, "invalid_request", f"server should be {' or '.join(allowed)}")
        server.state = "starting" if word == "poweron" else "stopping"
        server.state_detail = "terminating" if word == "terminate" else ""
        server.looks = STARTING
        task = {
            "id": self._id(), "description": word, "progress": 0, "status": "pending",
            "href_from": f"/servers/{server.id}/action", "href_result": f"/servers/{server.id}",
            "zone": server.zone, "started_at": stamp(self.now_s), "terminated_at": None,
        }  # fmt: skip
        return Answer(202, {"task": task})

    def delete_server(self, call: Call, found: "re.Match[str]") -> Answer:
        server = self._of(self.servers, found)
        if server.state != "stopped":
            raise Refused(400, "invalid_request", "instance should be powered off.")
        self._gone(server)
        return Answer(204)

    def _gone(self, server: Server) -> None:
        """End a server; its addresses and volumes stay, and cost."""
        del self.servers[server.id]
        if server.bill is not None:
            server.bill.gone_s = self.now_s
        for ip in server.ips:
            ip.server = None
        for volume in server.volumes:
            volume.server = None

    def delete_ip(self, call: Call, found: "re.Match[str]") -> Answer:
        ip = self._of(self.ips, found)
        del self.ips[ip.id]
        ip.bill.gone_s = self.now_s
        return Answer(204)

    def delete_group(self, call: Call, found: "re.Match[str]") -> Answer:
        group = self._of(self.groups, found)
        if any(server.group == group.id for server in self.servers.values()):
            raise Refused(400, "invalid_request", "group is in use. you cannot delete it.")
        del self.groups[group.id]
        return Answer(204)

    def delete_volume(self, call: Call, found: "re.Match[str]") -> Answer:
        volume = self._of(self.volumes, found)
        if volume.server is not None:
            raise Refused(400, "invalid_request", "volume is in use")
        self._volume_gone(volume)
        return Answer(204)

    def _volume_gone(self, volume: Volume) -> None:
        del self.volumes[volume.id]
        if volume.bill is not None:
            volume.bill.gone_s = self.now_s

    @staticmethod
    def _of(things: dict[str, Any], found: "re.Match[str]") -> Any:
        thing = things.get(found[2])
        if thing is None or thing.zone != found[1]:
            raise Refused(404, "unknown_resource", f'"{found[2]}" not found')
        return thing


_I, _B, _ID = rf"/instance/v1{ZONE}", rf"/block/v1{ZONE}", "([0-9a-f-]{36})"
ROUTES: list[tuple[str, str, Route]] = [
    ("GET", f"{_I}/products/servers", ScalewayServer.list_types),
    ("GET", f"{_I}/products/servers/availability", ScalewayServer.availability),
    ("GET", f"{_I}/servers", ScalewayServer.list_servers),
    ("POST", f"{_I}/servers", ScalewayServer.create_server),
    ("GET", f"{_I}/servers/{_ID}", ScalewayServer.get_server),
    ("DELETE", f"{_I}/servers/{_ID}", ScalewayServer.delete_server),
    ("POST", f"{_I}/servers/{_ID}/action", ScalewayServer.action),
    ("GET", f"{_I}/servers/{_ID}/user_data", ScalewayServer.list_user_data),
    ("GET", rf"{_I}/servers/{_ID}/user_data/([\w-]+)", ScalewayServer.get_user_data),
    ("PATCH", rf"{_I}/servers/{_ID}/user_data/([\w-]+)", ScalewayServer.set_user_data),
    ("GET", f"{_I}/ips", ScalewayServer.list_ips),
    ("POST", f"{_I}/ips", ScalewayServer.create_ip),
    ("DELETE", f"{_I}/ips/{_ID}", ScalewayServer.delete_ip),
    ("GET", f"{_I}/security_groups", ScalewayServer.list_groups),
    ("POST", f"{_I}/security_groups", ScalewayServer.create_group),
    ("DELETE", f"{_I}/security_groups/{_ID}", ScalewayServer.delete_group),
    ("GET", f"{_I}/security_groups/{_ID}/rules", ScalewayServer.list_rules),
    ("PUT", f"{_I}/security_groups/{_ID}/rules", ScalewayServer.set_rules),
    ("GET", f"{_I}/volumes/{_ID}", ScalewayServer.get_volume),
    ("DELETE", f"{_I}/volumes/{_ID}", ScalewayServer.delete_volume),
    ("GET", f"{_B}/volumes/{_ID}", ScalewayServer.get_block),
    ("PATCH", f"{_B}/volumes/{_ID}", ScalewayServer.tag_block),
    ("DELETE", f"{_B}/volumes/{_ID}", ScalewayServer.delete_volume),
]
