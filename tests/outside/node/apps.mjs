// A real browser between an application and the server: sign-in and consent, remembered and refused, a device, a step up that
// the API asked for (RFC 9470), a session ended from another browser, sign-out; by the keyboard alone, and without JavaScript.
// Prints nothing unless it fails.
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { act, addAuthenticator, appSecret, close, code, desk, look, open, path, phone, typeIn } from './browsing.mjs'
import { client as register, load, person } from './world.mjs'

const { ISSUER, API } = process.env
const client = await load('openid-client')

// The application: one page, to which people come back.
const app = createServer((_, answer) => answer.setHeader('content-type', 'text/html').end('<title>The app</title>'))
await new Promise(listening => app.listen(0, '127.0.0.1', listening))
const home = `http://localhost:${app.address().port}`
const scopes = ['openid', 'profile', 'email', 'offline_access', 'notes:read', 'notes:write']
await register({
  client_id: 'notebook', client_name: 'Notebook & Pen', kind: 'public', redirect_uris: [`${home}/cb`],
  post_logout_redirect_uris: [`${home}/out`], grants: ['authorization_code', 'refresh_token', 'device_code'], scopes,
  resources: [ISSUER, API],
})
const config = await client.discovery(new URL(ISSUER), 'notebook', undefined, client.None(),
  { execute: [client.allowInsecureRequests] })
const [ada, eve] = await Promise.all(['ada', 'eve'].map(name => person(name, { email: `${name}@example.com` })))

async function begin(more = {}) {
  const checks = { pkceCodeVerifier: client.randomPKCECodeVerifier(), expectedState: client.randomState() }
  const url = client.buildAuthorizationUrl(config, {
    redirect_uri: `${home}/cb`, scope: 'openid profile notes:read', resource: API, state: checks.expectedState,
    code_challenge: await client.calculatePKCECodeChallenge(checks.pkceCodeVerifier), code_challenge_method: 'S256',
    ...more,
  })
  return { url: url.href, checks }
}
// What the application makes of the browser's coming back.
async function tokens(page, checks) {
  await page.waitForURL(`${home}/cb?**`)
  return client.authorizationCodeGrant(config, new URL(page.url()), checks)
}
const read = token => client.fetchProtectedResource(config, token.access_token, new URL(`${API}/notes`), 'GET')

// By the keyboard alone: the field of the name has the focus, Tab and Enter do the rest.
const { context, page } = await open(phone)
const first = await begin()
await page.goto(first.url)
await look(page, 'app-login')
await page.keyboard.type(ada.username)
await page.keyboard.press('Tab')
await page.keyboard.type(ada.password)
await page.keyboard.press('Enter')
await page.waitForURL('**/consent?**')
await look(page, 'consent')
for (let turn = 0; turn < 10; turn++) {
  await page.keyboard.press('Tab')
  if (await page.evaluate(() => document.activeElement.matches('button[type=submit]'))) break
}
await page.screenshot({ path: `${process.env.SHOTS}/consent-focus.png`, fullPage: true })
await page.keyboard.press('Enter')
const given = await tokens(page, first.checks)
assert.equal((await read(given)).status, 200)

// The second time nobody is asked; what is more is asked for.
const second = await begin()
await page.goto(second.url)
assert.equal((await read(await tokens(page, second.checks))).status, 200)
const more = await begin({ scope: scopes.join(' ') })
await page.goto(more.url)
assert.equal(path(page), '/consent')
await look(page, 'consent-more')
await page.getByRole('link', { name: 'Refuse' }).click()
await assert.rejects(tokens(page, more.checks), { error: 'access_denied' })
const cancelled = await begin({ prompt: 'login' })
await page.goto(cancelled.url)
await look(page, 'app-login-again')
await page.getByRole('link', { name: 'Cancel' }).click()
await assert.rejects(tokens(page, cancelled.checks), { error: 'access_denied' })

// A device: its code is typed in, compared and allowed.
const device = await client.initiateDeviceAuthorization(config, { scope: 'openid notes:read', resource: API })
await page.goto(device.verification_uri)
await page.locator('input[name=user_code]').fill(device.user_code)
await act(page)
await look(page, 'device-confirm')
await act(page)
await look(page, 'device-done')
const connected = await client.pollDeviceAuthorizationGrant(config, { ...device, interval: 0.2 })
assert.equal((await read(connected)).status, 200)

// From now on the API wants a second step of people. It says so, and the application sends them back for it.
writeFileSync('policies/guard/step_up.cedar', `@id("step.up") @acr("2")
forbid (principal is Stockade::User, action == Notes::Action::"notes:list", resource) when { context.acr < 2 };`)
let challenge
for (const deadline = Date.now() + 30_000; !challenge;) {
  challenge = await read(given).then(() => assert.ok(Date.now() < deadline), error => error.cause[0].parameters)
}
assert.deepEqual([challenge.error, challenge.acr_values], ['insufficient_user_authentication', '2'])
const without = await begin({ acr_values: challenge.acr_values })
await page.goto(without.url)
await look(page, 'step-up-none')
await page.getByRole('link', { name: 'Set it up in your account' }).click()
await page.goto(`${ISSUER}/account/totp`)
const secret = await appSecret(page)
await page.locator('#code').fill(code(secret))
await act(page)
await page.waitForURL('**/account?done=totp')
const stronger = await begin({ acr_values: challenge.acr_values })
await page.goto(stronger.url)
await look(page, 'step-up-code')
// Each code counts once: this is the next.
await page.locator('#code').fill(code(secret, Math.floor(Date.now() / 30_000) + 1))
await act(page)
const up = await tokens(page, stronger.checks)
assert.equal(up.claims().acr, '2')
assert.equal((await read(up)).status, 200)
await assert.rejects(read(given), error => error.status === 401)

// And for what asks for a passkey.
const strongest = await begin({ acr_values: '3' })
await page.goto(strongest.url)
await look(page, 'step-up-no-passkey')
await addAuthenticator({ context, page })
await page.goto(`${ISSUER}/account/passkeys`)
await page.locator('form[data-passkey] button').click()
await page.waitForURL('**/account?done=passkey')
await page.goto(strongest.url)
await look(page, 'step-up-passkey')
await page.locator('form[data-passkey] button').click()
assert.equal((await tokens(page, strongest.checks)).claims().acr, '3')

// Another browser, without JavaScript, on a desk: signed in there, ended from here, gone there.
const other = await open({ ...desk, javaScriptEnabled: false })
const there = await begin()
await other.page.goto(there.url)
await typeIn(other.page, eve)
await look(await withScript(other), 'desk-consent')
await act(other.page)
const theirs = await tokens(other.page, there.checks)
const mine = await open(desk)
await mine.page.goto((await begin({ prompt: 'login' })).url)
await typeIn(mine.page, eve)
await mine.page.waitForURL(`${home}/cb?**`)
await mine.page.goto(`${ISSUER}/account`)
await look(mine.page, 'desk-account-sessions')
await mine.page.getByRole('button', { name: /^End/ }).click()
await mine.page.waitForURL('**/account?done=**')
assert.equal(await mine.page.getByRole('button', { name: /^End/ }).count(), 0)
await look(mine.page, 'desk-account-ended')
await other.page.goto(`${ISSUER}/account`)
assert.equal(path(other.page), '/login')
await assert.rejects(client.refreshTokenGrant(config, theirs.refresh_token), { error: 'invalid_grant' })
await mine.page.getByRole('button', { name: /^Withdraw/ }).click()
await mine.page.goto((await begin()).url)
assert.equal(path(mine.page), '/consent')

// The application signs its person out: asked first, because it shows no ID token; then back to where it said.
const end = client.buildEndSessionUrl(config, { post_logout_redirect_uri: `${home}/out`, state: 'bye' })
await page.goto(end.href)
await look(page, 'app-logout')
await act(page)
await page.waitForURL(`${home}/out?state=bye`)
await page.goto(`${ISSUER}/account`)
assert.equal(path(page), '/login')
await assert.rejects(client.refreshTokenGrant(config, up.refresh_token), { error: 'invalid_grant' })

await close()
app.close()

// axe needs JavaScript: the same page, seen with the same cookies by a browser that has it.
async function withScript({ context, page }) {
  const seeing = await open(desk)
  await seeing.context.addCookies(await context.cookies())
  await seeing.page.goto(page.url())
  return seeing.page
}
