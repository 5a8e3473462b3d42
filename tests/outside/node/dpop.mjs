// openid-client with a key of its own (RFC 9449): the token is bound to it, and worth nothing without it.
import assert from 'node:assert/strict'
import { load } from './world.mjs'

const { ISSUER, API, DEMO_CLIENT_ID, DEMO_CLIENT_SECRET } = process.env
const client = await load('openid-client')

const config = await client.discovery(new URL(ISSUER), DEMO_CLIENT_ID, undefined,
  client.ClientSecretBasic(DEMO_CLIENT_SECRET), { algorithm: 'oauth2', execute: [client.allowInsecureRequests] })
assert.ok(config.serverMetadata().dpop_signing_alg_values_supported.includes('ES256'))

for (const algorithm of ['ES256', 'Ed25519', 'RS256']) {
  const pair = await client.randomDPoPKeyPair(algorithm)
  const DPoP = client.getDPoPHandle(config, pair)
  // The library asks again with the nonce that it is given, here and at the API.
  const token = await client.clientCredentialsGrant(config, { scope: 'notes:read', resource: API }, { DPoP })
  assert.equal(token.token_type, 'dpop')
  const told = await client.tokenIntrospection(config, token.access_token)
  assert.equal(told.cnf.jkt, await DPoP.calculateThumbprint())
  for (let i = 0; i < 3; i++) {
    const read = await client.fetchProtectedResource(config, token.access_token, new URL(`${API}/notes`), 'GET',
      undefined, undefined, { DPoP })
    assert.equal(read.status, 200)
  }
  const bare = await fetch(`${API}/notes`, { headers: { authorization: `Bearer ${token.access_token}` } })
  assert.equal(bare.status, 401)
  const thief = client.getDPoPHandle(config, await client.randomDPoPKeyPair(algorithm))
  await assert.rejects(client.fetchProtectedResource(config, token.access_token, new URL(`${API}/notes`), 'GET',
    undefined, undefined, { DPoP: thief }))
}
