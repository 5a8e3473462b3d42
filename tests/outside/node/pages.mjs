// A person's own pages in a real browser: sign-in, authenticator app, recovery code, passkey, sign-out, with and without
// JavaScript, on a phone and on a desk, light and dark; axe finds nothing on any of them. Screenshots are kept in SHOTS.
// Prints nothing unless it fails.
import assert from 'node:assert/strict'
import { act, addAuthenticator, appSecret, close, code, desk, look, open, path, phone, scan, signIn } from './browsing.mjs'
import { keep } from './world.mjs'

const { ISSUER } = process.env
const { context, page } = await open(phone)
await page.goto(`${ISSUER}/login`)
await look(page, 'login')
await signIn(page, { password: 'not the password' })
assert.equal(await page.locator('[role=alert] h2').textContent(), 'You could not be signed in')
await look(page, 'login-wrong')
await signIn(page)
assert.equal(path(page), '/account')
await look(page, 'account-fresh')

// A passkey, on an authenticator of the browser's own.
await addAuthenticator({ context, page })
await page.goto(`${ISSUER}/account/passkeys`)
await look(page, 'passkeys')
await page.locator('#label').fill('Test phone')
await page.locator('form[data-passkey] button').click()
await page.waitForURL('**/account?done=passkey')

// An authenticator app, and codes for when it is lost.
await page.goto(`${ISSUER}/account/totp`)
await look(page, 'totp')
assert.equal(await scan(page), await page.locator('#otpauth').textContent())
await page.locator('summary').click()
await look(page, 'totp-typed')
const secret = await appSecret(page)
await page.locator('#code').fill(code(secret))
await act(page)
await page.waitForURL('**/account?done=totp')
await page.goto(`${ISSUER}/account/recovery`)
await look(page, 'recovery-ask')
await act(page)
const codes = await page.locator('ol code').allTextContents()
assert.equal(codes.length, 10)
codes.forEach(keep)
await look(page, 'recovery-codes')

for (const [name, at] of [['account', '/account'], ['password', '/account/password'], ['device', '/device']]) {
  await page.goto(ISSUER + at)
  await look(page, name)
}
await page.locator('input[name=user_code]').fill('ABCD-EFGH')
await act(page)
await look(page, 'device-wrong')

await page.goto(`${ISSUER}/login/logout`)
await look(page, 'logout')
await act(page)
await page.waitForURL('**/login/out')
await look(page, 'out')
await page.goto(`${ISSUER}/account`)
assert.equal(path(page), '/login')

await signIn(page)
assert.equal(path(page), '/login/second')
await look(page, 'second')
await page.getByRole('link', { name: 'Use a recovery code' }).click()
await look(page, 'second-recovery')
await page.locator('#code').fill(codes[0])
await act(page)
assert.equal(path(page), '/account')
await page.goto(`${ISSUER}/login/logout`)
await act(page)

await page.goto(`${ISSUER}/login`)
await page.locator('form[data-passkey] button').click()
await page.waitForURL('**/account')
await page.goto(`${ISSUER}/consent?flow=none`)
await look(page, 'error')

// Everything but passkeys without JavaScript.
const plain = await open({ ...phone, javaScriptEnabled: false })
await plain.page.goto(`${ISSUER}/login`)
assert.equal(await plain.page.locator('form[data-passkey]').isVisible(), false)
await signIn(plain.page)
assert.equal(path(plain.page), '/login/second')
await plain.page.locator('#code').fill(code(secret, Math.floor(Date.now() / 30_000) + 1))
await act(plain.page)
assert.equal(path(plain.page), '/account')

// With room.
const wide = await open(desk)
await wide.page.goto(`${ISSUER}/login`)
await look(wide.page, 'desk-login')
await wide.context.addCookies(await plain.context.cookies())
for (const [name, at] of [['account', '/account'], ['password', '/account/password'], ['totp', '/account/totp']]) {
  await wide.page.goto(ISSUER + at)
  await look(wide.page, `desk-${name}`)
}
await close()
