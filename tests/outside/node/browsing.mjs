// What the walks through the pages share: a real browser, a look at a page (screenshots, axe, width), codes of an app.
import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { mkdirSync, readFileSync } from 'node:fs'
import { keep, keepBody, keepHeaders, keepUrl, require } from './world.mjs'

const { ISSUER, DEMO_USER, DEMO_PASSWORD, CHROMIUM, SHOTS } = process.env
const { chromium } = require('playwright-core')
const jsQR = readFileSync(require.resolve('jsqr'), 'utf8')
const axe = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8')
mkdirSync(SHOTS, { recursive: true })

const browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox', '--disable-gpu'] })
export const phone = { viewport: { width: 390, height: 800 } }
export const desk = { viewport: { width: 1280, height: 800 } }
const said = []

export async function open(options) {
  const context = await browser.newContext(options)
  const page = await context.newPage()
  // What a page may not load or run, the browser says on its console; a refusal's status is no complaint.
  page.on('console', message => {
    if (message.type() === 'error' && !message.text().includes('the server responded with a status of 4')) {
      said.push(`${page.url()}: ${message.text()}`)
    }
  })
  page.on('pageerror', error => said.push(`${page.url()}: ${error}`))
  page.on('request', request => {
    keepUrl(request.url())
    keepBody(request.postData())
  })
  page.on('response', async response => {
    // A page that was left meanwhile has no headers any more.
    const headers = await response.headersArray().catch(() => [])
    keepHeaders(new Headers(headers.map(({ name, value }) => [name, value])))
  })
  return { context, page }
}

// Ends the browser; no page complained of anything.
export async function close() {
  await browser.close()
  assert.deepEqual(said, [])
}

const looked = new Set()
export async function look(page, name) {
  assert.ok(!looked.has(name), `${name} was looked at before`)
  looked.add(name)
  await page.evaluate(axe)
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' })
    await page.screenshot({ path: `${SHOTS}/${name}-${colorScheme}.png`, fullPage: true })
    // Only colours differ between the two.
    const runOnly = colorScheme === 'dark' ? { runOnly: ['color-contrast'] } : {}
    const wrong = await page.evaluate(async runOnly => {
      const run = await axe.run(document, { resultTypes: ['violations'], ...runOnly })
      return run.violations.map(one => `${one.id}: ${one.nodes.map(node => node.html).join(' ')}`)
    }, runOnly)
    assert.deepEqual(wrong, [], `axe on ${name}, ${colorScheme}`)
  }
  const { wide, seen } = await page.evaluate(() => ({ wide: document.documentElement.scrollWidth, seen: innerWidth }))
  assert.ok(wide <= seen, `${name} is ${wide} wide on ${seen}`)
  assert.ok((await page.locator('button[type=submit]').count()) <= 1, `${name} has one main act`)
}

export const act = page => page.locator('button[type=submit]').click()
export const path = page => new URL(page.url()).pathname

// Fills in the page of the password, which must be open.
export async function typeIn(page, { username = DEMO_USER, password = DEMO_PASSWORD } = {}) {
  await page.locator('input[name=username]').fill(username)
  await page.locator('input[name=password]').fill(password)
  await act(page)
}

export async function signIn(page, who) {
  await page.goto(`${ISSUER}/login`)
  await typeIn(page, who)
}

// An authenticator of the browser's own, which says yes to everything.
export async function addAuthenticator({ context, page }) {
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
}

// The secret that the page for authenticator apps shows.
export async function appSecret(page) {
  const secret = (await page.locator('#secret').textContent()).replaceAll(' ', '')
  keep(secret)
  return secret
}

// What a camera reads off the page's QR code.
export async function scan(page) {
  await page.evaluate(`self.module = { exports: {} }; ${jsQR}`)
  return page.evaluate(() => {
    const svg = document.querySelector('svg.qr')
    const { x, y, width, height } = svg.viewBox.baseVal
    const canvas = Object.assign(document.createElement('canvas'), { width: width * 4, height: height * 4 })
    const paper = canvas.getContext('2d')
    paper.scale(4, 4)
    paper.translate(-x, -y)
    for (const path of svg.querySelectorAll('path')) {
      paper.fillStyle = getComputedStyle(path).fill
      paper.fill(new Path2D(path.getAttribute('d')))
    }
    const read = self.jsQR ?? self.module.exports
    return read(paper.getImageData(0, 0, canvas.width, canvas.height).data, canvas.width, canvas.height)?.data
  })
}

export function code(base32, step = Math.floor(Date.now() / 30_000)) {
  const bits = [...base32].map(c => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(c).toString(2).padStart(5, '0')).join('')
  const message = Buffer.alloc(8)
  message.writeBigInt64BE(BigInt(step))
  const key = Buffer.from(bits.match(/.{8}/g).map(byte => parseInt(byte, 2)))
  const tag = createHmac('sha1', key).update(message).digest()
  return String((tag.readUInt32BE(tag[19] & 15) & 0x7fffffff) % 1_000_000).padStart(6, '0')
}
