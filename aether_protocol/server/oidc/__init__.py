"""People log in at a provider of OpenID Connect, in place of with a token (RT-143).

Theory of operation. `GET /v1/login/oidc` sends the browser to the provider, with a state, a nonce and the challenge of PKCE;
what has to come back with these is in a cookie of this one login, which only this server gets, and which counts for ten
minutes. So any server of a store can end a login that another one began. The provider sends the browser back, to
`/v1/login/oidc/callback`, with a code; the server exchanges it for an ID token, checks that (signature by the provider's keys,
issuer, audience, times, nonce), and reads the groups of the person. `[auth.roles]` says what these may do. From there on it is
as after a login by token: a token of kind person is made, with those roles, which ends after some hours, and the cookie holds
it.

Roles are read at the login alone: a person who leaves a group keeps them until the token ends, or an admin revokes it.

`roles` maps groups, `provider` speaks with the provider (Authlib, the extra `[oidc]`), `login` has the routes.
"""
