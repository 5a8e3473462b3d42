// openid-client signs people in as applications do: a public one, one with a secret, one that pushes its requests; with each
// signature of ID tokens. Prints nothing unless it fails.
import assert from 'node:assert/strict'
import { Browser, client as register, load, person } from './world.mjs'

const { ISSUER, API } = process.env
const client = await load('openid-client')
const ada = await person('grace', { name: 'Grace Hopper' })

const kinds = [
  { client_id: 'pages', kind: 'public', id_token_alg: 'RS256', way: () => client.None(), rotates: true },
  { client_id: 'web', id_token_alg: 'ES256', way: client.ClientSecretBasic },
  { client_id: 'post', auth_method: 'client_secret_post', id_token_alg: 'EdDSA', way: client.ClientSecretPost },
  { client_id: 'pushes', require_par: true, way: client.ClientSecretBasic },
]
await Promise.all(kinds.map(async ({ way, rotates, ...sent }) => {
  const redirect_uri = `https://${sent.client_id}.example/cb`, out = `https://${sent.client_id}.example/out`
  const made = await register({
    ...sent, grants: ['authorization_code', 'refresh_token', 'device_code'], redirect_uris: [redirect_uri],
    post_logout_redirect_uris: [out], scopes: ['openid', 'profile', 'notes:read'], resources: [ISSUER, API],
  })
  const config = await client.discovery(new URL(ISSUER), sent.client_id,
    { id_token_signed_response_alg: sent.id_token_alg ?? 'RS256' }, way(made.client_secret),
    { execute: [client.allowInsecureRequests, client.enableNonRepudiationChecks] })
  const browser = new Browser()

  async function begin(more = {}) {
    const checks = {
      pkceCodeVerifier: client.randomPKCECodeVerifier(), expectedState: client.randomState(),
      expectedNonce: client.randomNonce(), idTokenExpected: true,
    }
    const parameters = new URLSearchParams({
      redirect_uri, scope: 'openid profile notes:read', state: checks.expectedState, nonce: checks.expectedNonce,
      code_challenge: await client.calculatePKCECodeChallenge(checks.pkceCodeVerifier), code_challenge_method: 'S256',
      ...more,
    })
    for (const api of [ISSUER, API]) parameters.append('resource', api)
    const build = sent.require_par ? client.buildAuthorizationUrlWithPAR : client.buildAuthorizationUrl
    return { url: await build(config, parameters), checks }
  }

  const { url, checks } = await begin({ ui_locales: 'de', claims: '{"userinfo":{"name":null}}', unheard: 'of' })
  const { left } = await browser.through(url, ada)
  assert.ok(left?.href.startsWith(redirect_uri), `${left}`)
  assert.equal(left.searchParams.get('iss'), ISSUER)
  let tokens = await client.authorizationCodeGrant(config, left, checks)
  const { auth_time } = tokens.claims()
  assert.equal(tokens.claims().sub, ada.user_id)
  assert.equal((await client.fetchUserInfo(config, tokens.access_token, ada.user_id)).name, 'Grace Hopper')

  for (let turn = 0; turn < 2; turn++) {
    const next = await client.refreshTokenGrant(config, tokens.refresh_token, { resource: API, scope: 'notes:read' })
    assert.equal(next.refresh_token !== undefined, !!rotates)
    assert.equal((await client.fetchProtectedResource(config, next.access_token, new URL(`${API}/notes`), 'GET')).status, 200)
    await assert.rejects(client.fetchUserInfo(config, next.access_token, ada.user_id))
    tokens = { ...next, refresh_token: next.refresh_token ?? tokens.refresh_token, id_token: tokens.id_token }
  }
  if (!rotates) assert.equal((await client.tokenIntrospection(config, tokens.refresh_token)).active, true)

  // Asked again for a fresh sign-in, the person types the password again.
  const anew = await begin({ prompt: 'login' })
  assert.match((await browser.open(anew.url)).html, /name="password"/)
  const again = await client.authorizationCodeGrant(config, (await browser.through(anew.url, ada)).left, anew.checks)
  assert.ok(again.claims().auth_time >= auth_time)

  // A pushed request is refused where it is pushed, another where the browser brings it.
  await assert.rejects(async () => {
    const { url, checks } = await begin({ scope: 'admin' })
    await client.authorizationCodeGrant(config, (await browser.open(url)).left, checks)
  }, { error: 'invalid_scope' })

  const device = await client.initiateDeviceAuthorization(config, { scope: 'openid', resource: ISSUER })
  await browser.submit(await browser.open(device.verification_uri_complete))
  const connected = await client.pollDeviceAuthorizationGrant(config, { ...device, interval: 0.2 })
  assert.equal(connected.claims().sub, ada.user_id)

  const end = client.buildEndSessionUrl(config, {
    id_token_hint: again.id_token, post_logout_redirect_uri: out, state: 'bye',
  })
  assert.equal((await browser.open(end)).left?.href, `${out}?state=bye`)
  const nobody = await begin({ prompt: 'none' })
  await assert.rejects(client.authorizationCodeGrant(config, (await browser.open(nobody.url)).left, nobody.checks),
    { error: 'login_required' })
  // What was granted in the session went with it; the device is still connected.
  await assert.rejects(client.refreshTokenGrant(config, tokens.refresh_token), { error: 'invalid_grant' })
  await client.refreshTokenGrant(config, connected.refresh_token)
}))
