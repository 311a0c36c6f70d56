"""Instances on Scaleway: `driver.ScalewayDriver`, over the vendor's own client (extra `scaleway`).

What is particular here: names are not unique, so things are found by their tags, and of two that were
made at the same moment the older stays. A server takes four calls (address, server, user data, power),
each a point at which a run may die. Address and block volume are billed objects of their own, which
outlive the server. The API says no price of either; those are from the dated list in `deployments/`.
The operator's key goes in with the user data; a key of the project would open every other server too.
"""
