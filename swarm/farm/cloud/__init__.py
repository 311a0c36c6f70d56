"""Instances on rented servers: what the Hetzner and the Scaleway driver have in common.

`driver` has the verbs, over three ports: `machines.Cloud` (one vendor's API), `ssh.Shell` (a command on
a server) and the journal. `packing` places seats on servers, `diary` writes down each paid thing before
it is asked for, `user_data` says what a new server is told, `seats` runs the containers.

A new vendor is a class with the verbs of `machines.Cloud`, a driver class that names it, a template and
a dated price list in `deployments/<vendor>/`, and a scripted server for its tests.

How a server comes to trust the operator, and the other way round, without a long-lived secret in its
user data (which everything on the server can read from the vendor's metadata service):

1. The operator's machine makes, per server, a *bootstrap* host key and a one-time enrolment token. The
   user data holds the bootstrap host key, the SHA-256 of the token and the operator's public key.
   The token is good for an hour of running; a server that waited longer is made anew.
2. The first connection is pinned to the bootstrap host key: nobody in between can take its place.
   Nothing foreign runs on the server yet that could have read that key.
3. The operator's machine shows the token; the server answers with a host key it made itself. The
   operator stores it, and says so; the server now drops the bootstrap key, the token and its copy of
   the user data. Each half may be said again, so a death in between does no harm. From here on
   nothing in the user data opens anything.
4. Only then secrets go over that connection, by standard input, into files of the instance.
   Containers cannot reach the metadata service.
"""
