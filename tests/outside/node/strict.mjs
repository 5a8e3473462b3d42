// oauth4webapi with all of its checks, as a client that signs its requests, pushes them and binds what it gets to a key: code
// flow, refresh, userinfo, introspection, revocation, device flow, client credentials, sign-out. Prints nothing unless it fails.
import assert from 'node:assert/strict'
import { Browser, client, load, person } from './world.mjs'

const { ISSUER, API, DEMO_CLIENT_ID, DEMO_CLIENT_SECRET } = process.env
const oauth = await load('oauth4webapi')
const REDIRECT = 'https://strict.example/cb', OUT = 'https://strict.example/out'
const http = { [oauth.allowInsecureRequests]: true }
const issuer = new URL(ISSUER)

const [as] = await Promise.all(['oidc', 'oauth2'].map(async algorithm =>
  oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, { ...http, algorithm }))))
const resource = await oauth.processResourceDiscoveryResponse(issuer, await oauth.resourceDiscoveryRequest(issuer, http))
assert.deepEqual(resource.authorization_servers, [ISSUER])
for (const method of ['private_key_jwt', 'none', 'client_secret_basic']) {
  assert.ok(as.token_endpoint_auth_methods_supported.includes(method))
}

const keys = await oauth.generateKeyPair('ES256', { extractable: true })
const { kty, crv, x, y } = await crypto.subtle.exportKey('jwk', keys.publicKey)
await client({
  client_id: 'strict', client_name: 'Strict & Sons', auth_method: 'private_key_jwt',
  jwks: { keys: [{ kty, crv, x, y, alg: 'ES256', use: 'sig', kid: 'one' }] },
  grants: ['authorization_code', 'refresh_token', 'client_credentials', 'device_code'],
  scopes: ['openid', 'profile', 'email', 'notes:read'], resources: [ISSUER, API],
  redirect_uris: [REDIRECT], post_logout_redirect_uris: [OUT], require_par: true, dpop_bound: true, id_token_alg: 'ES256',
})
const ada = await person('ada', { name: 'Ada Lovelace', email: 'ada@example.com' })
const rp = { client_id: 'strict', id_token_signed_response_alg: 'ES256' }
const signs = oauth.PrivateKeyJwt({ key: keys.privateKey, kid: 'one' }, http)
const DPoP = oauth.DPoP(rp, await oauth.generateKeyPair('ES256'))
const bound = { ...http, DPoP }

// With the nonce that it is given, when it is asked for one.
async function again(ask, process) {
  try {
    return await process(await ask())
  } catch (error) {
    assert.ok(oauth.isDPoPNonceError(error), error)
    return process(await ask())
  }
}

async function begin(more = {}) {
  const verifier = oauth.generateRandomCodeVerifier(), state = oauth.generateRandomState(), nonce = oauth.generateRandomNonce()
  const parameters = new URLSearchParams({
    response_type: 'code', redirect_uri: REDIRECT, scope: 'openid profile email notes:read', state, nonce,
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256', ...more,
  })
  for (const api of [ISSUER, API]) parameters.append('resource', api)
  const pushed = await again(() => oauth.pushedAuthorizationRequest(as, rp, signs, parameters, bound),
    answer => oauth.processPushedAuthorizationResponse(as, rp, answer))
  const url = new URL(as.authorization_endpoint)
  url.search = new URLSearchParams({ client_id: rp.client_id, request_uri: pushed.request_uri })
  return { url, verifier, state, nonce }
}

const browser = new Browser()
const begun = await begin({ max_age: '600' })
const { left } = await browser.through(begun.url, ada)
assert.ok(left?.href.startsWith(REDIRECT), left)
const parameters = oauth.validateAuthResponse(as, rp, left, begun.state)
const redeem = () => oauth.authorizationCodeGrantRequest(as, rp, signs, parameters, REDIRECT, begun.verifier, bound)
let answered
const tokens = await again(redeem, answer => {
  answered = answer
  return oauth.processAuthorizationCodeResponse(as, rp, answer,
    { expectedNonce: begun.nonce, requireIdToken: true, maxAge: 600 })
})
await oauth.validateApplicationLevelSignature(as, answered, http)
const told = oauth.getValidatedIdTokenClaims(tokens)
assert.equal(told.sub, ada.user_id)
assert.deepEqual([told.acr, told.amr], ['1', ['pwd']])
assert.equal(tokens.token_type, 'dpop')

const userinfo = await again(() => oauth.userInfoRequest(as, rp, tokens.access_token, bound),
  answer => oauth.processUserInfoResponse(as, rp, told.sub, answer))
assert.deepEqual([userinfo.preferred_username, userinfo.name, userinfo.email], ['ada', 'Ada Lovelace', 'ada@example.com'])

// Another API's token out of the same consent.
const refresh = more => again(
  () => oauth.refreshTokenGrantRequest(as, rp, signs, tokens.refresh_token, { ...bound, additionalParameters: more }),
  answer => oauth.processRefreshTokenResponse(as, rp, answer))
const fresh = await refresh({ resource: API, scope: 'openid notes:read' })
assert.equal(oauth.getValidatedIdTokenClaims(fresh).sub, told.sub)
const call = (token, options = bound) =>
  oauth.protectedResourceRequest(token, 'GET', new URL(`${API}/notes`), undefined, undefined, options)
assert.equal((await again(() => call(fresh.access_token), answer => answer)).status, 200)
await assert.rejects(call(fresh.access_token, http), error => error.status === 401)
await assert.rejects(call(tokens.access_token), error => error.status === 401)

const introspect = async token => oauth.processIntrospectionResponse(as, rp,
  await oauth.introspectionRequest(as, rp, signs, token, http))
const active = await introspect(fresh.access_token)
assert.deepEqual([active.active, active.sub, active.aud, active.client_id], [true, ada.user_id, API, 'strict'])
assert.equal(active.cnf.jkt, await DPoP.calculateThumbprint())
await oauth.processRevocationResponse(await oauth.revocationRequest(as, rp, signs, tokens.refresh_token, http))
for (const token of [tokens.access_token, fresh.access_token, tokens.refresh_token]) {
  assert.deepEqual(await introspect(token), { active: false })
}
await assert.rejects(refresh({}), { error: 'invalid_grant' })

// The second time nobody is asked for consent; a code counts once, and its second use ends what the first gave.
const second = await begin({ prompt: 'none' })
const silent = await browser.open(second.url)
const answer = oauth.validateAuthResponse(as, rp, silent.left, second.state)
const exchange = () => oauth.authorizationCodeGrantRequest(as, rp, signs, answer, REDIRECT, second.verifier, bound)
const first = await again(exchange, got => oauth.processAuthorizationCodeResponse(as, rp, got,
  { expectedNonce: second.nonce, requireIdToken: true }))
await assert.rejects(again(exchange, got => oauth.processAuthorizationCodeResponse(as, rp, got)), { error: 'invalid_grant' })
assert.deepEqual(await introspect(first.access_token), { active: false })

// A device, let in from this browser.
const device = await oauth.processDeviceAuthorizationResponse(as, rp,
  await oauth.deviceAuthorizationRequest(as, rp, signs, { scope: 'openid notes:read', resource: API }, http))
const poll = () => again(() => oauth.deviceCodeGrantRequest(as, rp, signs, device.device_code, bound),
  answer => oauth.processDeviceCodeResponse(as, rp, answer))
await assert.rejects(poll(), { error: 'authorization_pending' })
const connected = await browser.submit(await browser.open(device.verification_uri_complete))
assert.match(connected.html, /Your device is connected/)
for (const deadline = Date.now() + 30_000; ;) {
  try {
    const got = await poll()
    assert.equal((await again(() => call(got.access_token), answer => answer)).status, 200)
    break
  } catch (error) {
    if (error.error !== 'slow_down' || Date.now() > deadline) throw error
    await new Promise(resolve => setTimeout(resolve, 500))
  }
}

// For itself, and a token that the library validates as a resource server would.
const own = await again(() => oauth.clientCredentialsGrantRequest(as, rp, signs, { scope: 'notes:read', resource: API }, bound),
  got => oauth.processClientCredentialsResponse(as, rp, got))
assert.equal(own.refresh_token, undefined)
const demo = { client_id: DEMO_CLIENT_ID }
const bearer = await oauth.processClientCredentialsResponse(as, demo, await oauth.clientCredentialsGrantRequest(as, demo,
  oauth.ClientSecretBasic(DEMO_CLIENT_SECRET), { resource: API }, http))
const request = new Request(`${API}/notes`, { headers: { authorization: `Bearer ${bearer.access_token}` } })
const claims = await oauth.validateJwtAccessToken(as, request, API, http)
assert.deepEqual([claims.sub, claims.client_id, claims.scope], [DEMO_CLIENT_ID, DEMO_CLIENT_ID, 'notes:read notes:write'])

// Signed out by the client: back where it registered, and nobody is signed in any more.
const end = new URL(as.end_session_endpoint)
end.search = new URLSearchParams({ id_token_hint: first.id_token, post_logout_redirect_uri: OUT, state: 'bye' })
assert.equal((await browser.open(end)).left?.href, `${OUT}?state=bye`)
const third = await begin({ prompt: 'none' })
const refused = await browser.open(third.url)
assert.throws(() => oauth.validateAuthResponse(as, rp, refused.left, third.state), { error: 'login_required' })
