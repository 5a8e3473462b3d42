// openid-client as an application uses it: discover, obtain, introspect, call, revoke. Prints nothing unless it fails.
import assert from 'node:assert/strict'
import { load } from './world.mjs'

const { ISSUER, API, DEMO_CLIENT_ID, DEMO_CLIENT_SECRET } = process.env
const client = await load('openid-client')

const ways = { ClientSecretBasic: client.ClientSecretBasic, ClientSecretPost: client.ClientSecretPost }
for (const way of Object.values(ways)) {
  for (const algorithm of ['oidc', 'oauth2']) {
    const config = await client.discovery(new URL(ISSUER), DEMO_CLIENT_ID, undefined, way(DEMO_CLIENT_SECRET), {
      algorithm,
      execute: [client.allowInsecureRequests],
    })
    assert.equal(config.serverMetadata().issuer, ISSUER)

    const token = await client.clientCredentialsGrant(config, { scope: 'notes:read notes:write', resource: API })
    assert.equal(token.token_type, 'bearer')
    assert.ok(token.expiresIn() > 0)
    assert.equal(token.refresh_token, undefined)

    const told = await client.tokenIntrospection(config, token.access_token)
    assert.equal(told.active, true)
    assert.equal(told.client_id, DEMO_CLIENT_ID)
    assert.equal(told.iss, ISSUER)

    const call = (method, body) =>
      client.fetchProtectedResource(config, token.access_token, new URL(`${API}/notes`), method, body,
        new Headers(body ? { 'content-type': 'application/json' } : {}))
    const written = await call('POST', JSON.stringify({ text: 'from openid-client' }))
    assert.ok(written.ok, `${written.status}`)
    const read = await call('GET')
    assert.equal(read.status, 200)
    assert.match(await read.text(), /from openid-client/)

    await client.tokenRevocation(config, token.access_token)
    assert.deepEqual(await client.tokenIntrospection(config, token.access_token), { active: false })
    await assert.rejects(call('GET'), (error) => error instanceof client.WWWAuthenticateChallengeError
      && error.status === 401 && error.cause[0].scheme === 'bearer' && error.cause[0].parameters.error === 'invalid_token')
  }
}

// What the server refuses is the error that the library knows.
const wrong = await client.discovery(new URL(ISSUER), DEMO_CLIENT_ID, undefined, client.ClientSecretBasic('wrong'), {
  execute: [client.allowInsecureRequests],
})
await assert.rejects(client.clientCredentialsGrant(wrong), (error) => error.status === 401)
const greedy = await client.discovery(new URL(ISSUER), DEMO_CLIENT_ID, undefined, client.ClientSecretBasic(DEMO_CLIENT_SECRET), {
  execute: [client.allowInsecureRequests],
})
await assert.rejects(client.clientCredentialsGrant(greedy, { scope: 'admin' }), { error: 'invalid_scope' })
