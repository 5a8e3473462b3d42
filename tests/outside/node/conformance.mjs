// What the OpenID conformance suite checks of providers, by the names of its modules: basic, config, RP-initiated and
// back-channel logout. Checks of our own, written from the specifications. Prints nothing unless some fail, and then all.
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { Browser, client as register, load, person } from './world.mjs'

const { ISSUER } = process.env
const oauth = await load('oauth4webapi')
const http = { [oauth.allowInsecureRequests]: true }
const get = async url => (await fetch(url)).json()
const as = await get(`${ISSUER}/.well-known/openid-configuration`)

// The client: what it is told out of band arrives here.
const heard = []
const listener = createServer((request, answer) => {
  request.setEncoding('utf8').on('data', text => heard.push({ type: request.headers['content-type'], text }))
  request.on('end', () => answer.end())
})
await new Promise(listening => listener.listen(0, '127.0.0.1', listening))
const BACK = 'https://rp.example/cb?keep=this', OUT = 'https://rp.example/out'
const ada = await person('ada', { name: 'Ada Lovelace', email: 'ada@example.com' })
const shared = {
  grants: ['authorization_code', 'refresh_token'], scopes: ['openid', 'profile', 'email', 'offline_access'],
  redirect_uris: [BACK], require_pkce: false,
}
const [basic, post] = await Promise.all([
  register({
    ...shared, client_id: 'basic', post_logout_redirect_uris: [OUT],
    backchannel_logout_uri: `http://127.0.0.1:${listener.address().port}/out`,
  }),
  register({ ...shared, client_id: 'post', auth_method: 'client_secret_post' }),
])
const rp = { client_id: 'basic' }, secret = oauth.ClientSecretBasic(basic.client_secret)

const parameters = more => {
  const all = { client_id: 'basic', response_type: 'code', redirect_uri: BACK, scope: 'openid', state: 'a', nonce: 'n', ...more }
  return new URLSearchParams(Object.entries(all).filter(([, value]) => value !== undefined))
}
const at = more => `${as.authorization_endpoint}?${parameters(more)}`
const answer = left => Object.fromEntries(left?.searchParams ?? [])
async function redeem(code, { who = rp, how = secret, nonce = 'n' } = {}) {
  const got = await oauth.authorizationCodeGrantRequest(as, who, how, oauth.validateAuthResponse(as, who,
    new URLSearchParams({ code, iss: ISSUER, state: 'a' }), 'a'), BACK, oauth.nopkce, http)
  return oauth.processAuthorizationCodeResponse(as, who, got, { expectedNonce: nonce, requireIdToken: true })
}
// Somebody who has not been here before signs in and allows; the tokens of the code that comes of it.
async function signedIn(more, browser = new Browser(), options) {
  const { left } = await browser.through(at(more), ada)
  assert.equal(answer(left).state, 'a', `${left}`)
  const tokens = await redeem(answer(left).code, options)
  return { browser, tokens, claims: oauth.getValidatedIdTokenClaims(tokens) }
}
const userinfo = (token, init) => fetch(as.userinfo_endpoint, { headers: { authorization: `Bearer ${token}` }, ...init })
const ends = async ({ browser }, query) => browser.open(`${as.end_session_endpoint}?${new URLSearchParams(query)}`)
const isIn = async browser => 'code' in answer((await browser.open(at({ prompt: 'none' }))).left)
// Asked before anybody is sent anywhere or signed out.
async function asks(who, query) {
  const page = await ends(who, query)
  assert.ok(!page.left && page.html.includes('Sign out?'), page.html)
  assert.ok(await isIn(who.browser))
  return page
}
// A page of ours, not a redirect to anyone.
async function stays(more) {
  const page = await new Browser().open(at(more))
  assert.ok(!page.left && page.status === 400, `${page.status} ${page.left}`)
}

const modules = {
  async 'oidcc-server'() {
    const { claims, tokens } = await signedIn()
    assert.deepEqual([claims.iss, claims.sub, claims.aud], [ISSUER, ada.user_id, 'basic'])
    assert.equal(tokens.token_type, 'bearer')
  },
  async 'oidcc-discovery-endpoint-verification'() {
    assert.equal(as.issuer, ISSUER)
    for (const name of ['authorization_endpoint', 'token_endpoint', 'userinfo_endpoint', 'jwks_uri']) assert.ok(URL.canParse(as[name]))
    assert.ok(as.scopes_supported.includes('openid') && as.response_types_supported.includes('code'))
    assert.ok(as.id_token_signing_alg_values_supported.includes('RS256') && as.subject_types_supported.includes('public'))
    assert.equal(as.request_uri_parameter_supported, false)
    const { keys } = await get(as.jwks_uri)
    assert.equal(new Set(keys.map(key => key.kid)).size, keys.length)
    for (const key of keys) for (const hidden of ['d', 'p', 'q', 'k']) assert.ok(!(hidden in key))
  },
  async 'oidcc-response-type-missing'() {
    const { browser } = await signedIn()
    assert.equal(answer((await browser.open(at({ response_type: undefined }))).left).error, 'invalid_request')
  },
  async 'oidcc-codereuse'() {
    const { left } = await new Browser().through(at(), ada)
    const { access_token } = await redeem(answer(left).code)
    await assert.rejects(redeem(answer(left).code), { error: 'invalid_grant', status: 400 })
    assert.equal((await userinfo(access_token)).status, 401)
  },
  async 'oidcc-scope-profile, -email, -all, oidcc-ensure-other-scope-order-succeeds'() {
    for (const [scope, names] of [
      ['openid profile', ['name', 'preferred_username', 'sub', 'updated_at']],
      ['email openid', ['email', 'email_verified', 'sub']],
      ['profile email openid offline_access', ['email', 'email_verified', 'name', 'preferred_username', 'sub', 'updated_at']],
    ]) {
      const { tokens } = await signedIn({ scope, prompt: 'consent' })
      assert.deepEqual(Object.keys(await (await userinfo(tokens.access_token)).json()).sort(), names, scope)
    }
  },
  async 'oidcc-userinfo-get, -post-header'() {
    const { tokens, claims } = await signedIn()
    for (const method of ['GET', 'POST']) {
      const told = await userinfo(tokens.access_token, { method })
      assert.match(told.headers.get('content-type'), /^application\/json/)
      assert.equal((await told.json()).sub, claims.sub)
    }
  },
  // Of the ways to send a token, the metadata names the header alone (RFC 6750 2.2 is optional).
  async 'oidcc-userinfo-post-body'() {
    const { tokens } = await signedIn()
    const body = new URLSearchParams({ access_token: tokens.access_token })
    assert.ok([400, 401].includes((await fetch(as.userinfo_endpoint, { method: 'POST', body })).status))
  },
  async 'oidcc-ensure-request-without-nonce-succeeds-for-code-flow'() {
    const { claims } = await signedIn({ nonce: undefined }, new Browser(), { nonce: oauth.expectNoNonce })
    assert.ok(!('nonce' in claims))
  },
  async 'oidcc-display-*, -ui-locales, -claims-locales, -login-hint, -request-with-unknown-parameter, -claims-essential'() {
    await signedIn({
      display: 'popup', ui_locales: 'se', claims_locales: 'se', login_hint: 'ada', extra: 'foobar',
      claims: '{"userinfo":{"name":{"essential":true}}}',
    })
    const page = await new Browser().open(at({ login_hint: 'ada' }))
    assert.match(page.html, /value="ada"/)
  },
  async 'oidcc-prompt-login'() {
    const { browser, claims } = await signedIn()
    assert.match((await browser.open(at({ prompt: 'login' }))).html, /name="password"/)
    const again = await signedIn({ prompt: 'login' }, browser)
    assert.ok(again.claims.auth_time >= claims.auth_time)
  },
  async 'oidcc-prompt-none-not-logged-in'() {
    assert.equal(answer((await new Browser().open(at({ prompt: 'none' }))).left).error, 'login_required')
  },
  async 'oidcc-prompt-none-logged-in, oidcc-max-age-10000, oidcc-id-token-hint'() {
    const { browser, tokens, claims } = await signedIn()
    for (const more of [{}, { max_age: '10000' }, { id_token_hint: tokens.id_token }]) {
      const { left } = await browser.open(at({ prompt: 'none', ...more }))
      const told = oauth.getValidatedIdTokenClaims(await redeem(answer(left).code))
      assert.deepEqual([told.sub, told.auth_time], [claims.sub, claims.auth_time])
    }
  },
  async 'oidcc-max-age-1'() {
    const { browser, claims } = await signedIn()
    const over = async () => /name="password"/.test((await browser.open(at({ max_age: '1' }))).html)
    for (const deadline = Date.now() + 30_000; !(await over());) assert.ok(Date.now() < deadline)
    const again = await signedIn({ max_age: '1' }, browser)
    assert.ok(again.claims.auth_time > claims.auth_time)
  },
  async 'oidcc-ensure-request-with-acr-values-succeeds'() {
    assert.equal((await signedIn({ acr_values: '1 2' })).claims.acr, '1')
  },
  async 'oidcc-ensure-registered-redirect-uri, oidcc-redirect-uri-query-added, -query-mismatch'() {
    for (const redirect_uri of [`${BACK}&more=1`, BACK.split('?')[0], `${BACK.split('?')[0]}?keep=that`, 'https://evil.example/cb']) {
      await stays({ redirect_uri })
    }
  },
  async 'oidcc-redirect-uri-query-OK'() {
    const { left } = await new Browser().through(at(), ada)
    assert.equal(answer(left).keep, 'this')
  },
  async 'oidcc-ensure-post-request-succeeds'() {
    const browser = new Browser()
    await browser.through(at(), ada)
    const { left } = await browser.open(as.authorization_endpoint, parameters())
    assert.ok(answer(left).code, `${left}`)
  },
  async 'oidcc-server-client-secret-post, oidcc-refresh-token'() {
    const who = { client_id: 'post' }, how = oauth.ClientSecretPost(post.client_secret)
    const { tokens, claims } = await signedIn({ client_id: 'post' }, new Browser(), { who, how })
    const refresh = async (who, how) => oauth.processRefreshTokenResponse(as, who,
      await oauth.refreshTokenGrantRequest(as, who, how, tokens.refresh_token, http))
    const fresh = await refresh(who, how)
    assert.equal(oauth.getValidatedIdTokenClaims(fresh).sub, claims.sub)
    await assert.rejects(refresh(rp, secret), { error: 'invalid_grant' })
  },
  async 'oidcc-unsigned-request-object-…-rejected-as-unsupported, oidcc-request-uri-…'() {
    const { browser } = await signedIn()
    const unsigned = `${btoa('{"alg":"none"}').replaceAll('=', '')}.e30.`
    assert.equal(answer((await browser.open(at({ request: unsigned }))).left).error, 'request_not_supported')
    assert.equal(answer((await browser.open(at({ request_uri: 'https://rp.example/r' }))).left).error, 'request_uri_not_supported')
  },
  async 'oidcc-ensure-request-with-valid-pkce-succeeds'() {
    const verifier = oauth.generateRandomCodeVerifier()
    const code_challenge = await oauth.calculatePKCECodeChallenge(verifier)
    const { left } = await new Browser().through(at({ code_challenge, code_challenge_method: 'S256' }), ada)
    const got = await oauth.authorizationCodeGrantRequest(as, rp, secret, oauth.validateAuthResponse(as, rp, left, 'a'),
      BACK, verifier, http)
    await oauth.processAuthorizationCodeResponse(as, rp, got, { expectedNonce: 'n', requireIdToken: true })
  },
  async 'oidcc-rp-initiated-logout, -no-state'() {
    for (const state of ['b', undefined]) {
      const who = await signedIn()
      const query = { id_token_hint: who.tokens.id_token, post_logout_redirect_uri: OUT, ...(state && { state }) }
      assert.equal((await ends(who, query)).left?.href, state ? `${OUT}?state=b` : OUT)
      assert.ok(!await isIn(who.browser))
    }
  },
  async 'oidcc-rp-initiated-logout-bad-post-logout-redirect-uri, -query-added-…, -no-post-logout-redirect-uri'() {
    for (const uri of ['https://evil.example/', `${OUT}?foo=bar`, undefined]) {
      const who = await signedIn()
      const page = await ends(who, { id_token_hint: who.tokens.id_token, ...(uri && { post_logout_redirect_uri: uri }) })
      assert.ok(!page.left && !await isIn(who.browser), `${page.left}`)
    }
  },
  async 'oidcc-rp-initiated-logout-modified-id-token-hint, -bad-…, -no-id-token-hint, -no-params, -only-state'() {
    const who = await signedIn()
    const [head, body, signature] = who.tokens.id_token.split('.')
    const forged = [head, body, (signature[0] === 'A' ? 'B' : 'A') + signature.slice(1)].join('.')
    const with_ = { post_logout_redirect_uri: OUT, client_id: 'basic' }
    for (const query of [{ ...with_, id_token_hint: forged }, { ...with_, id_token_hint: 'x' }, with_, {}, { state: 'b' }]) {
      await asks(who, query)
    }
    const page = await who.browser.submit(await asks(who, { ...with_, state: 'c' }))
    assert.equal(page.left?.href, `${OUT}?state=c`)
    assert.ok(!await isIn(who.browser))
  },
  async 'oidcc-backchannel-rp-initiated-logout'() {
    assert.ok(as.backchannel_logout_supported && as.backchannel_logout_session_supported)
    const who = await signedIn()
    await ends(who, { id_token_hint: who.tokens.id_token })
    let claims
    for (const deadline = Date.now() + 30_000; !claims;) {
      for (const { type, text } of heard) {
        const token = new URLSearchParams(text).get('logout_token')
        const [head, body] = token.split('.').slice(0, 2).map(part => JSON.parse(Buffer.from(part, 'base64url')))
        if (body.sid === who.claims.sid) claims = { ...body, head, type }
      }
      assert.ok(Date.now() < deadline, 'no logout token came')
      await new Promise(resolve => setTimeout(resolve, 50))
    }
    assert.deepEqual([claims.iss, claims.aud, claims.sub], [ISSUER, 'basic', ada.user_id])
    assert.deepEqual(claims.events, { 'http://schemas.openid.net/event/backchannel-logout': {} })
    assert.ok(claims.jti && claims.exp > claims.iat && !('nonce' in claims))
    assert.deepEqual([claims.head.typ, claims.type], ['logout+jwt', 'application/x-www-form-urlencoded'])
  },
}

// One after the other: passwords are hashed a few at once, and more are told to come back.
const failed = []
for (const [name, check] of Object.entries(modules)) {
  await check().catch(error => failed.push(`${name}: ${error.stack}`))
}
listener.close()
assert.deepEqual(failed, [])
