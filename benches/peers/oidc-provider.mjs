// npm oidc-provider, issuing and introspecting tokens from memory. Environment: PORT, FORMAT (jwt or opaque), PEERS.
import { generateKeyPairSync } from 'node:crypto'
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'

const { PORT, FORMAT, PEERS } = process.env
const require = createRequire(pathToFileURL(`${PEERS}/package.json`))
const { default: Provider } = await import(pathToFileURL(require.resolve('oidc-provider')))

const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const key = { ...privateKey.export({ format: 'jwk' }), alg: 'ES256', use: 'sig', kid: 'bench' }
const provider = new Provider(`http://127.0.0.1:${PORT}`, {
  jwks: { keys: [key] },
  scopes: ['read', 'write'],
  clients: [{
    client_id: 'client-1',
    client_secret: 'secret-1-0123456789abcdef',
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
    token_endpoint_auth_method: 'client_secret_basic',
    id_token_signed_response_alg: 'ES256',
  }],
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    introspection: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => 'https://api.example.com',
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({
        scope: 'read write',
        audience: 'https://api.example.com',
        accessTokenTTL: 3600,
        accessTokenFormat: FORMAT,
        jwt: { sign: { alg: 'ES256' } },
      }),
    },
  },
})
provider.listen(Number(PORT), '127.0.0.1')
