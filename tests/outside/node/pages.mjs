// A real browser on the pages: sign-in, authenticator app, recovery code, passkey, device, sign-out, with and without
// JavaScript, on a phone and on a desk, light and dark; axe finds nothing on any of them. Screenshots are kept in SHOTS.
// Prints nothing unless it fails.
import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { mkdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'

const { ISSUER, DEMO_USER, DEMO_PASSWORD, OUTSIDE_NODE, CHROMIUM, SHOTS } = process.env
const require = createRequire(pathToFileURL(`${OUTSIDE_NODE}/package.json`))
const { chromium } = require('playwright-core')
const axe = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8')
mkdirSync(SHOTS, { recursive: true })

const browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox', '--disable-gpu'] })
const phone = { viewport: { width: 390, height: 800 } }
const said = []

async function open(options) {
  const context = await browser.newContext(options)
  const page = await context.newPage()
  // What a page may not load or run, the browser says on its console; a refusal's status is no complaint.
  page.on('console', message => {
    if (message.type() === 'error' && !message.text().includes('the server responded with a status of 4')) {
      said.push(`${page.url()}: ${message.text()}`)
    }
  })
  page.on('pageerror', error => said.push(`${page.url()}: ${error}`))
  return { context, page }
}

async function look(page, name) {
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' })
    await page.screenshot({ path: `${SHOTS}/${name}-${colorScheme}.png`, fullPage: true })
    const wrong = await page.evaluate(`${axe};
      axe.run(document, { resultTypes: ['violations'] })
        .then(run => run.violations.map(one => one.id + ': ' + one.nodes.map(node => node.html).join(' ')))`)
    assert.deepEqual(wrong, [], `axe on ${name}, ${colorScheme}`)
  }
  const { wide, seen } = await page.evaluate(() => ({ wide: document.documentElement.scrollWidth, seen: innerWidth }))
  assert.ok(wide <= seen, `${name} is ${wide} wide on ${seen}`)
  assert.ok((await page.locator('button[type=submit]').count()) <= 1, `${name} has one main act`)
}

const act = page => page.locator('button[type=submit]').click()
const path = page => new URL(page.url()).pathname

async function signIn(page, password = DEMO_PASSWORD) {
  await page.goto(`${ISSUER}/login`)
  await page.locator('input[name=username]').fill(DEMO_USER)
  await page.locator('input[name=password]').fill(password)
  await act(page)
}

function code(base32, step = Math.floor(Date.now() / 30_000)) {
  const bits = [...base32].map(c => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(c).toString(2).padStart(5, '0')).join('')
  const message = Buffer.alloc(8)
  message.writeBigInt64BE(BigInt(step))
  const key = Buffer.from(bits.match(/.{8}/g).map(byte => parseInt(byte, 2)))
  const tag = createHmac('sha1', key).update(message).digest()
  return String((tag.readUInt32BE(tag[19] & 15) & 0x7fffffff) % 1_000_000).padStart(6, '0')
}

const { context, page } = await open(phone)
await page.goto(`${ISSUER}/login`)
await look(page, 'login')
await signIn(page, 'not the password')
assert.equal(await page.locator('[role=alert] h2').textContent(), 'You could not be signed in')
await look(page, 'login-wrong')
await signIn(page)
assert.equal(path(page), '/account')
await look(page, 'account-fresh')

// A passkey, on an authenticator of the browser's own.
const devtools = await context.newCDPSession(page)
await devtools.send('WebAuthn.enable')
await devtools.send('WebAuthn.addVirtualAuthenticator', {
  options: {
    protocol: 'ctap2',
    transport: 'internal',
    hasResidentKey: true,
    hasUserVerification: true,
    isUserVerified: true,
    automaticPresenceSimulation: true,
  },
})
await page.goto(`${ISSUER}/account/passkeys`)
await look(page, 'passkeys')
await page.locator('#label').fill('Test phone')
await page.locator('form[data-passkey] button').click()
await page.waitForURL('**/account?done=passkey')

// An authenticator app, and codes for when it is lost.
await page.goto(`${ISSUER}/account/totp`)
await look(page, 'totp')
const secret = (await page.locator('#secret').textContent()).replaceAll(' ', '')
await page.locator('#code').fill(code(secret))
await act(page)
await page.waitForURL('**/account?done=totp')
await page.goto(`${ISSUER}/account/recovery`)
await look(page, 'recovery-ask')
await act(page)
const codes = await page.locator('ol code').allTextContents()
assert.equal(codes.length, 10)
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

const desk = await open({ viewport: { width: 1280, height: 800 } })
await desk.page.goto(`${ISSUER}/login`)
await look(desk.page, 'desk-login')
await browser.close()
assert.deepEqual(said, [])
