// openid-client signs its assertions (private_key_jwt). Prints nothing unless it fails.
import assert from 'node:assert/strict'
import { webcrypto } from 'node:crypto'
import { client as register, load } from './world.mjs'

const { ISSUER, API } = process.env
const client = await load('openid-client')
const pair = () => webcrypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, ['sign', 'verify'])
const connect = ({ privateKey }) => client.discovery(new URL(ISSUER), 'signer', undefined,
  client.PrivateKeyJwt({ key: privateKey, kid: 'outside' }), { execute: [client.allowInsecureRequests] })

const keys = await pair()
const { kty, crv, x, y } = await webcrypto.subtle.exportKey('jwk', keys.publicKey)
await register({
  client_id: 'signer', grants: ['client_credentials'], scopes: ['notes:read'], resources: [API], default_resource: API,
  jwks: { keys: [{ kty, crv, x, y, alg: 'ES256', use: 'sig', kid: 'outside' }] },
})
const config = await connect(keys)
for (let turn = 0; turn < 3; turn++) {
  const token = await client.clientCredentialsGrant(config, { scope: 'notes:read', resource: API })
  assert.equal((await client.tokenIntrospection(config, token.access_token)).active, true)
  assert.equal((await client.fetchProtectedResource(config, token.access_token, new URL(`${API}/notes`), 'GET')).status, 200)
  await client.tokenRevocation(config, token.access_token)
  assert.equal((await client.tokenIntrospection(config, token.access_token)).active, false)
}
await assert.rejects(client.clientCredentialsGrant(await connect(await pair()), { resource: API }), error => error.status === 401)
