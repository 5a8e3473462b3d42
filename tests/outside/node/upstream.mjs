// A real browser signs in at one server with an account of another, with and without JavaScript, for an app of its own and
// for the account page; axe finds nothing on the pages it meets. Prints nothing unless it fails.
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { act, close, look, open, path, phone, signIn, typeIn } from './browsing.mjs'

const { ISSUER, PROVIDER, PROVIDER_USER, PROVIDER_PASSWORD } = process.env

const app = createServer((request, response) => response.end(request.url))
await new Promise(ready => app.listen(0, '127.0.0.1', ready))
const back = `http://127.0.0.1:${app.address().port}/cb`
const asks = new URLSearchParams({
  client_id: 'app',
  redirect_uri: back,
  response_type: 'code',
  scope: 'openid',
  code_challenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM',
  code_challenge_method: 'S256',
})

const house = page => page.getByRole('link', { name: 'Sign in with The house' }).click()
const prove = page => typeIn(page, { username: PROVIDER_USER, password: PROVIDER_PASSWORD })
const at = (page, issuer, where) => page.waitForURL(url => url.href.startsWith(issuer) && url.pathname === where)

// Somebody new; the provider asks for consent, once.
const { page } = await open(phone)
await page.goto(`${ISSUER}/login`)
await look(page, 'login-with')
await house(page)
await at(page, PROVIDER, '/login')
await prove(page)
await at(page, PROVIDER, '/consent')
await act(page)
await at(page, ISSUER, '/account')
await look(page, 'account-with')
await page.getByRole('link', { name: 'Link or unlink an account' }).click()
await at(page, ISSUER, '/account/elsewhere')
await look(page, 'elsewhere')

// For an app. The second time nothing is asked between the provider's form and the app.
for (const time of ['first', 'second']) {
  const { page } = await open({ ...phone, javaScriptEnabled: time === 'first' })
  await page.goto(`${ISSUER}/oauth/authorize?${asks}`)
  await house(page)
  await prove(page)
  if (time === 'first') {
    await at(page, ISSUER, '/consent')
    await act(page)
  }
  await page.waitForURL(url => url.href.startsWith(back))
  assert.ok(new URL(page.url()).searchParams.get('code'), page.url())
}

// What belongs to somebody is not linked by another.
const other = await open(phone)
await signIn(other.page)
await other.page.goto(`${ISSUER}/account/elsewhere`)
await look(other.page, 'elsewhere-none')
await other.page.getByRole('link', { name: 'Link your account at The house' }).click()
await prove(other.page)
assert.equal(await other.page.locator('h1').textContent(), 'That account is linked already')
assert.equal(path(other.page), '/callback/house')
await look(other.page, 'elsewhere-taken')

app.close()
await close()
