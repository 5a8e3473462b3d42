// What the scripts share: the server they were started with, libraries, clients and people of their own, a browser without
// JavaScript, and a list of every secret that went over the wire, kept in SEEN for whoever looks where they ended up.
import assert from 'node:assert/strict'
import { appendFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'

const { ISSUER, ADMIN_CLIENT_ID, ADMIN_CLIENT_SECRET, OUTSIDE_NODE, SEEN } = process.env
export const require = createRequire(pathToFileURL(`${OUTSIDE_NODE}/package.json`))
export const load = name => import(pathToFileURL(require.resolve(name)))

const seen = new Set()
const SECRET = new Set(['access_token', 'refresh_token', 'id_token', 'id_token_hint', 'code', 'code_verifier', 'client_secret',
  'client_assertion', 'device_code', 'request_uri', 'password', 'current', 'new', 'again', 'recovery_code', 'token', 'csrf',
  'assertion', 'subject_token'])
// Shorter ones, such as six digits, occur by chance.
export const keep = text => text?.length >= 12 && seen.add(text)
process.on('exit', () => SEEN && appendFileSync(SEEN, [...seen].map(one => `${one}\n`).join('')))

const keepPairs = pairs => { for (const [name, value] of pairs) if (SECRET.has(name)) keep(value) }
export function keepUrl(url) {
  if (URL.canParse(url)) keepPairs(new URL(url).searchParams)
}
export function keepBody(text) {
  if (!text) return
  try {
    keepPairs(Object.entries(JSON.parse(text)).filter(([, value]) => typeof value === 'string'))
  } catch {
    keepPairs(new URLSearchParams(text))
  }
}
export function keepHeaders(headers) {
  const [scheme, value] = (headers.get('authorization') ?? '').split(' ')
  keep(value)
  if (scheme.toLowerCase() === 'basic') keep(decodeURIComponent(atob(value).split(':')[1]))
  keep(headers.get('dpop'))
  for (const pair of headers.get('cookie')?.split('; ') ?? []) keep(pair.slice(pair.indexOf('=') + 1))
  for (const set of headers.getSetCookie()) keep(set.split(';')[0].slice(set.indexOf('=') + 1))
}

const plainFetch = globalThis.fetch
globalThis.fetch = async (input, init) => {
  const request = new Request(input, init)
  keepUrl(request.url)
  keepHeaders(request.headers)
  keepBody(await request.clone().text())
  const response = await plainFetch(input, init)
  keepHeaders(response.headers)
  keepUrl(response.headers.get('location'))
  if (response.headers.get('content-type')?.includes('json')) keepBody(await response.clone().text())
  return response
}

let admin
async function manage(path, sent) {
  if (!admin) {
    const answer = await fetch(`${ISSUER}/oauth/token`, {
      method: 'POST',
      headers: { authorization: `Basic ${btoa(`${ADMIN_CLIENT_ID}:${ADMIN_CLIENT_SECRET}`)}` },
      body: new URLSearchParams({ grant_type: 'client_credentials', scope: 'admin' }),
    })
    admin = (await answer.json()).access_token
  }
  const headers = { authorization: `Bearer ${admin}`, 'content-type': 'application/json' }
  const answer = await fetch(`${ISSUER}/api/v1/${path}`, { method: 'POST', headers, body: JSON.stringify(sent) })
  const text = await answer.text()
  assert.equal(answer.status, 201, text)
  return JSON.parse(text)
}

// A client as /api/v1/clients takes it; what it answers, with the secret of one that has a secret.
export const client = sent => manage('clients', sent)
// Somebody with a password.
export const person = (username, more = {}) => manage('users', { username, ...more })

const unescape = text => text.replace(/&#(\d+);/g, (_, number) => String.fromCharCode(number)).replaceAll('&amp;', '&')

// A browser without JavaScript: cookies, redirects of ours, forms.
export class Browser {
  jar = new Map()

  async send(url, body) {
    const headers = { cookie: [...this.jar].map(pair => pair.join('=')).join('; ') }
    if (body) headers.origin = ISSUER
    const answer = await fetch(url, { method: body ? 'POST' : 'GET', headers, body, redirect: 'manual' })
    for (const set of answer.headers.getSetCookie()) {
      const [name, value] = set.split(';')[0].split(/=(.*)/s)
      if (/max-age=0/i.test(set)) this.jar.delete(name)
      else this.jar.set(name, value)
    }
    return { url, status: answer.status, location: answer.headers.get('location'), html: await answer.text() }
  }

  // Opens a page; follows 303s until a page, or until one leads away from the server: that URL is `left`.
  async open(url, body) {
    let page = await this.send(url, body)
    for (let turn = 0; page.location && turn < 10; turn++) {
      assert.equal(page.status, 303, page.html)
      const next = new URL(page.location, page.url)
      if (next.origin !== ISSUER) return { ...page, left: next }
      page = await this.send(next)
    }
    return page
  }

  // Fills in and sends the form of the page's main act.
  submit(page, fields = {}) {
    const form = page.html.split('<form').slice(1).find(one => one.includes('<button type="submit"'))
    assert.ok(form, `no form in ${page.html}`)
    const sent = new URLSearchParams()
    for (const [, name, value] of form.matchAll(/<input type="hidden" name="([^"]*)" value="([^"]*)"/g)) {
      sent.set(name, unescape(value))
    }
    for (const [name, value] of Object.entries(fields)) sent.set(name, value)
    return this.open(new URL(unescape(form.match(/action="([^"]*)"/)[1]), page.url), sent)
  }

  // Does what the pages ask until the browser leaves the server or a page asks nothing: signs in, then allows.
  async through(url, who) {
    let page = await this.open(url)
    for (let turn = 0; !page.left && page.html.includes('<button type="submit"') && turn < 4; turn++) {
      const asksPassword = page.html.includes('name="password"')
      page = await this.submit(page, asksPassword ? { username: who.username, password: who.password } : {})
    }
    return page
  }
}
