// npm oidc-provider with somebody signed in and every consent remembered: the code flow with PAR from memory.
// Environment: PORT, PEERS. The cookie of the session is on /cookie.
import { generateKeyPairSync } from 'node:crypto'
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'

const { PORT, PEERS } = process.env
const require = createRequire(pathToFileURL(`${PEERS}/package.json`))
const { default: Provider } = await import(pathToFileURL(require.resolve('oidc-provider')))

const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const key = { ...privateKey.export({ format: 'jwk' }), alg: 'ES256', use: 'sig', kid: 'bench' }
const provider = new Provider(`http://127.0.0.1:${PORT}`, {
  jwks: { keys: [key] },
  clients: [{
    client_id: 'client-1',
    client_secret: 'secret-1-0123456789abcdef',
    grant_types: ['authorization_code'],
    redirect_uris: ['https://client.example/cb'],
    response_types: ['code'],
    token_endpoint_auth_method: 'client_secret_basic',
    id_token_signed_response_alg: 'ES256',
  }],
  features: { devInteractions: { enabled: false }, pushedAuthorizationRequests: { enabled: true } },
  pkce: { required: () => true },
  findAccount: (ctx, id) => ({ accountId: id, claims: async () => ({ sub: id }) }),
})
const grant = new provider.Grant({ accountId: 'ada', clientId: 'client-1' })
grant.addOIDCScope('openid')
const grantId = await grant.save(14 * 86400)
const session = new provider.Session({})
session.loginAccount({ accountId: 'ada', loginTs: Math.floor(Date.now() / 1000), remember: true, amr: ['pwd'] })
session.ensureClientContainer('client-1')
session.grantIdFor('client-1', grantId)
await session.save(14 * 86400)
provider.use(async (ctx, next) => {
  if (ctx.path !== '/cookie') return next()
  ctx.body = `_session=${session.jti ?? session.id}`
})
provider.listen(Number(PORT), '127.0.0.1')
