// A client that signs its assertions (private_key_jwt). `keys FILE FILE` writes a private and a public key; `use FILE`
// authenticates with the private one. Prints nothing unless it fails.
import assert from 'node:assert/strict'
import { webcrypto } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'

const { ISSUER, API, OUTSIDE_NODE } = process.env
const [act, file, publicFile] = process.argv.slice(2)
const algorithm = { name: 'ECDSA', namedCurve: 'P-256' }

if (act === 'keys') {
  const pair = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
  writeFileSync(file, JSON.stringify(await webcrypto.subtle.exportKey('jwk', pair.privateKey)))
  const { kty, crv, x, y } = await webcrypto.subtle.exportKey('jwk', pair.publicKey)
  writeFileSync(publicFile, JSON.stringify({ keys: [{ kty, crv, x, y, alg: 'ES256', use: 'sig', kid: 'outside' }] }))
} else {
  const require = createRequire(pathToFileURL(`${OUTSIDE_NODE}/package.json`))
  const client = await import(pathToFileURL(require.resolve('openid-client')))
  const jwk = JSON.parse(readFileSync(file, 'utf8'))
  const importKey = (jwk) => webcrypto.subtle.importKey('jwk', jwk, algorithm, false, ['sign'])
  const connect = async (key) => client.discovery(new URL(ISSUER), 'signer', undefined,
    client.PrivateKeyJwt({ key, kid: 'outside' }), { execute: [client.allowInsecureRequests] })

  const config = await connect(await importKey(jwk))
  // The running server knows a client that the command line made within a second; a busy machine takes longer.
  for (const deadline = Date.now() + 20_000; ;) {
    try {
      await client.clientCredentialsGrant(config, { scope: 'notes:read', resource: API })
      break
    } catch (error) {
      if (error.status !== 401 || Date.now() > deadline) throw error
    }
  }
  for (let turn = 0; turn < 3; turn++) {
    const token = await client.clientCredentialsGrant(config, { scope: 'notes:read', resource: API })
    assert.equal((await client.tokenIntrospection(config, token.access_token)).active, true)
    assert.equal((await client.fetchProtectedResource(config, token.access_token, new URL(`${API}/notes`), 'GET')).status, 200)
    await client.tokenRevocation(config, token.access_token)
    assert.equal((await client.tokenIntrospection(config, token.access_token)).active, false)
  }

  const other = await webcrypto.subtle.generateKey(algorithm, false, ['sign', 'verify'])
  await assert.rejects(client.clientCredentialsGrant(await connect(other.privateKey), { resource: API }),
    (error) => error.status === 401)
}
