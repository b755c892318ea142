// Holds the Action to its rules against a real HTTP server: node --test auth0/action.test.js (Node 18 or 22).
const assert = require('node:assert/strict');
const crypto = require('node:crypto');
const fs = require('node:fs');
const http = require('node:http');
const path = require('node:path');
const v8 = require('node:v8');
const vm = require('node:vm');
const { after, before, beforeEach, describe, test } = require('node:test');

const action = require('./action.js');

const KEY = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
const OTHER_KEY = 'whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD';
const NOW = Date.UTC(2026, 10, 23, 10, 15, 0);
const ADDRESS = 'ada@example.com';
const EVENT = {
  tenant: { id: 'acme' },
  connection: { id: 'con_1', name: 'customers', strategy: 'auth0' },
  request: {
    ip: '192.0.2.44',
    method: 'POST',
    hostname: 'login.acme.example',
    language: 'sv',
    user_agent: 'Mozilla/5.0 Firefox/128.0',
    geoip: { cityName: 'Malmö', countryCode: 'SE', countryName: 'Sweden', latitude: 55.6, timeZone: 'Europe/Stockholm' },
  },
  user: { email: ADDRESS, email_verified: true, phone_number: '+46700000000', user_id: 'auth0|1', username: 'ada' },
};

// The server: `script` holds what each request in turn gets, `calls` what came. Each test has a path of its own, so that
// a request which the test before gave up is not taken for one of this.
let url;
let script = [];
let calls = [];
const server = http.createServer((request, response) => {
  const chunks = [];
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('end', () => {
    if (!url.endsWith(request.url)) return;
    calls.push({ method: request.method, headers: request.headers, body: Buffer.concat(chunks).toString() });
    const step = script.shift() ?? accepted();
    step(response, request);
  });
});

const answer = (status, body, headers = {}) => (response) => {
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(typeof body === 'string' ? body : JSON.stringify(body));
};
const refusal = (status, code, message, headers) => answer(status, { error: { code, message } }, headers);
const accepted = (status = 200) => (response, request) =>
  answer(status, { status: 'sent', id: request.headers['webhook-id'] })(response);
const hang = () => {};
const reset = (response) => response.socket.destroy();
const trickle = (response) => {
  response.writeHead(200, { 'content-type': 'application/json' });
  response.write('{"status":');
};
const cut = (response) => {
  response.writeHead(200, { 'content-length': '100' });
  response.write('{"status":', () => response.socket.destroy());
};

const usual = { limits: { ...action.limits }, clock: { ...action.clock }, log: console.log, fetch: globalThis.fetch };
let now = NOW;
let pauses = [];

before(async () => {
  await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
});
after(() => {
  server.closeAllConnections();
  server.close();
});
beforeEach(() => {
  url = `http://127.0.0.1:${server.address().port}/${crypto.randomUUID()}`;
  [script, calls, pauses, now] = [[], [], [], NOW];
  Object.assign(action.limits, usual.limits);
  Object.assign(action.clock, {
    now: () => now,
    random: () => 0.5,
    sleep: async (ms) => {
      pauses.push(ms);
      now += ms;
    },
  });
});

/** Runs the handler; what it logged and threw. */
async function run(event = EVENT, secrets = {}) {
  const logs = [];
  console.log = (...parts) => logs.push(parts.join(' '));
  try {
    const given = { ...structuredClone(event), secrets: { FUNCTION_URL: url, CALLOUT_SIGNING_KEY: KEY, ...secrets } };
    await action.onExecutePostChangePassword(given);
    return { logs, error: null };
  } catch (error) {
    return { logs, error };
  } finally {
    console.log = usual.log;
  }
}

/** The cause of the failure, which the log and the error must both tell. */
async function failure(event, secrets) {
  const { logs, error } = await run(event, secrets);
  assert.equal(logs.length, 1);
  assert.ok(error instanceof Error, 'it throws');
  const cause = error.message.replace(/^The notice may not have been sent: /, '');
  assert.notEqual(cause, error.message);
  assert.ok(logs[0].endsWith(`: ${cause}`), `${logs[0]} | ${cause}`);
  return cause;
}

const withUser = (user) => ({ ...EVENT, user });

describe('handler', () => {
  test('is an async function, as Auth0 demands', () => {
    assert.equal(action.onExecutePostChangePassword.constructor.name, 'AsyncFunction');
  });

  for (const status of [200, 202]) {
    test(`takes ${status} with our id as success, silently and in one attempt`, async () => {
      script = [accepted(status)];
      assert.deepEqual(await run(), { logs: [], error: null });
      assert.equal(calls.length, 1);
    });
  }
});

describe('callout', () => {
  test('is a JSON POST with the three webhook headers', async () => {
    await run();
    const [{ method, headers }] = calls;
    assert.equal(method, 'POST');
    assert.equal(headers['content-type'], 'application/json');
    assert.match(headers['webhook-id'], /^msg_[0-9a-f]{32}$/);
    assert.equal(headers['webhook-timestamp'], String(NOW / 1000));
    assert.equal(headers['content-encoding'], undefined);
  });

  test('sends exactly the members that the mail uses, and when it ran', async () => {
    await run();
    assert.deepEqual(JSON.parse(calls[0].body), {
      time: '2026-11-23T10:15:00.000Z',
      event: {
        tenant: { id: 'acme' },
        connection: { name: 'customers' },
        request: {
          ip: '192.0.2.44',
          language: 'sv',
          user_agent: 'Mozilla/5.0 Firefox/128.0',
          geoip: { cityName: 'Malmö', countryCode: 'SE', countryName: 'Sweden', timeZone: 'Europe/Stockholm' },
        },
        user: { email: ADDRESS, email_verified: true, user_id: 'auth0|1' },
      },
    });
  });

  test('never holds a secret', async () => {
    await run(EVENT, { OTHER: 'another-secret' });
    const sent = JSON.stringify(calls[0]);
    for (const secret of [KEY, KEY.slice(6), 'another-secret']) assert.ok(!sent.includes(secret));
    assert.equal(JSON.parse(calls[0].body).event.secrets, undefined);
  });

  test('is sent for a user without an address too', async () => {
    assert.equal((await run(withUser({ user_id: 'auth0|1' }))).error, null);
    assert.deepEqual(JSON.parse(calls[0].body).event.user, { user_id: 'auth0|1' });
  });

  test('holds a user object even where the event has an empty one or no other members', async () => {
    assert.equal((await run({ user: {}, request: { geoip: null } })).error, null);
    assert.deepEqual(JSON.parse(calls[0].body).event, { user: {} });
  });

  test('keeps null and false as they are', async () => {
    await run(withUser({ email: ADDRESS, email_verified: false, user_id: null }));
    assert.deepEqual(JSON.parse(calls[0].body).event.user, { email: ADDRESS, email_verified: false, user_id: null });
  });

  test('stays small enough to be taken, and whole text, whatever the user agent is', async () => {
    await run({ ...EVENT, request: { user_agent: '😀'.repeat(50_000), language: '"'.repeat(50_000) } });
    const { request } = JSON.parse(calls[0].body).event;
    assert.equal(request.user_agent, '😀'.repeat(1000));
    assert.ok(Buffer.byteLength(calls[0].body) < 65_536);
  });

  test('has an id of its own in each execution', async () => {
    for (let n = 0; n < 20; n += 1) await run();
    assert.equal(new Set(calls.map((call) => call.headers['webhook-id'])).size, 20);
  });
});

describe('signature', () => {
  const vectors = path.join(__dirname, '..', 'tests', 'vectors', 'signature.json');
  for (const vector of JSON.parse(fs.readFileSync(vectors, 'utf8'))) {
    test(`is that of ${vector.name}`, () => {
      assert.equal(action.sign(vector.secret, vector.id, vector.timestamp, vector.body), vector.signature);
    });
  }

  test('holds for the bytes that arrive, whatever they are', async () => {
    for (let n = 0; n < 20; n += 1) await run(withUser({ email: crypto.randomBytes(n).toString('latin1') }));
    for (const { headers, body } of calls) {
      const signed = `${headers['webhook-id']}.${headers['webhook-timestamp']}.${body}`;
      const hmac = crypto.createHmac('sha256', Buffer.from(KEY.slice(6), 'base64')).update(signed);
      assert.equal(headers['webhook-signature'], `v1,${hmac.digest('base64')}`);
    }
  });

  for (const keys of [`${KEY} ${OTHER_KEY}`, `\n${KEY}\n${OTHER_KEY}\n`, ` ${KEY}\t`]) {
    test(`is made with the first of ${JSON.stringify(keys.replaceAll(KEY, 'A').replaceAll(OTHER_KEY, 'B'))}`, () => {
      assert.equal(action.sign(keys, 'id', 1, 'body'), action.sign(KEY, 'id', 1, 'body'));
      assert.notEqual(action.sign(keys, 'id', 1, 'body'), action.sign(OTHER_KEY, 'id', 1, 'body'));
    });
  }

  for (const bytes of [24, 25, 26, 64]) {
    test(`takes a key of ${bytes} bytes`, () => {
      assert.match(action.sign(`whsec_${Buffer.alloc(bytes, 7).toString('base64')}`, 'id', 1, ''), /^v1,.{44}$/);
    });
  }

  const malformed = {
    'missing': undefined,
    'empty': '',
    'without whsec_': KEY.slice(6),
    'of 23 bytes': `whsec_${Buffer.alloc(23, 7).toString('base64')}`,
    'of 65 bytes': `whsec_${Buffer.alloc(65, 7).toString('base64')}`,
    'no base64': `whsec_${'?'.repeat(32)}`,
    'without its padding': `whsec_${Buffer.alloc(32, 7).toString('base64').slice(0, -1)}`,
    'in URL-safe base64': `whsec_${'-_'.repeat(16)}`,
    'with a quotation mark at its end': `${KEY}"`,
  };
  for (const [what, key] of Object.entries(malformed)) {
    test(`is refused, without the key in the message and without a request, where the key is ${what}`, async () => {
      const cause = await failure(EVENT, { CALLOUT_SIGNING_KEY: key });
      assert.equal(cause, 'the secret CALLOUT_SIGNING_KEY must be whsec_ and 24 to 64 bytes in base64');
      assert.deepEqual([calls.length, pauses.length], [0, 0]);
    });
  }
});

describe('address of the function', () => {
  const reached = async (address) => {
    let seen = null;
    globalThis.fetch = async (to) => {
      seen = to;
      throw new Error('stop');
    };
    try {
      return { error: (await run(EVENT, { FUNCTION_URL: address })).error.message, seen };
    } finally {
      globalThis.fetch = usual.fetch;
    }
  };

  const good = ['https://f.example/callout', ' https://f.example/callout\n', 'http://localhost:8080/', 'http://127.0.0.1:1234/'];
  for (const address of [...good, 'http://127.8.9.10/', 'http://[::1]:8080/', 'https://f.example/?a=b']) {
    test(`may be ${JSON.stringify(address)}`, async () => {
      assert.equal((await reached(address)).seen, address.trim());
    });
  }

  const bad = ['http://f.example/', 'http://127.0.0.1.f.example/', 'http://localhost.f.example/', 'http://10.0.0.1/'];
  const worse = ['http://[::2]/', 'ftp://localhost/', 'file:///etc/passwd', 'https://user:word@f.example/', 'https://user@f.example/'];
  for (const address of [...bad, ...worse]) {
    test(`may not be ${address}`, async () => {
      const { error, seen } = await reached(address);
      assert.equal(seen, null);
      assert.equal(error, 'The notice may not have been sent: the secret FUNCTION_URL must be a plain https address');
    });
  }

  for (const address of [undefined, '', 'f.example', KEY]) {
    test(`is told missing or malformed where it is ${address === KEY ? 'the signing key' : address}`, async () => {
      const { error, seen } = await reached(address);
      assert.equal(seen, null);
      assert.equal(error, 'The notice may not have been sent: the secret FUNCTION_URL is missing or is no address');
    });
  }
});

describe('answer', () => {
  const strangers = {
    'a login page': answer(200, '<html>Sign in</html>', { 'content-type': 'text/html' }),
    'empty': answer(202, ''),
    'JSON with another id': answer(200, { status: 'sent', id: 'msg_other' }),
    'JSON without an id': answer(200, { status: 'sent' }),
    'null': answer(200, 'null'),
    'larger than any of the function': (response, request) =>
      answer(200, { id: request.headers['webhook-id'], padding: 'x'.repeat(70_000) })(response),
  };
  for (const [what, step] of Object.entries(strangers)) {
    test(`is no success and final where a 200 or 202 is ${what}`, async () => {
      script = [step];
      assert.match(await failure(), /^HTTP 20[02], but not from the function: check FUNCTION_URL$/);
      assert.equal(calls.length, 1);
    });
  }

  for (const status of [201, 204, 206]) {
    test(`is no success and final where the status is ${status}`, async () => {
      script = [answer(status, '')];
      assert.equal(await failure(), `HTTP ${status}`);
      assert.equal(calls.length, 1);
    });
  }

  for (const status of [301, 302, 307, 308]) {
    test(`is no success, final and not followed where it is a redirect (${status})`, async () => {
      script = [answer(status, '', { location: url })];
      assert.equal(await failure(), 'cannot reach the function: unexpected redirect');
      assert.equal(calls.length, 1);
    });
  }

  for (const status of [400, 401, 403, 404, 405, 408, 409, 410, 413, 415, 422, 501, 505]) {
    test(`is final where the status is ${status}`, async () => {
      script = [refusal(status, 'some_code', 'in words')];
      assert.equal(await failure(), `${status} some_code: in words`);
      assert.equal(calls.length, 1);
    });
  }

  test('is final where the 502 is ours: SendGrid refused', async () => {
    script = [refusal(502, 'mail_rejected', 'verify SENDER_EMAIL')];
    assert.equal(await failure(), '502 mail_rejected: verify SENDER_EMAIL');
    assert.equal(calls.length, 1);
  });
});

describe('retry', () => {
  const passing = {
    'a 502 that is not ours': answer(502, '<html>Bad Gateway</html>'),
    'a 502 with other JSON': answer(502, { error: 'bad gateway' }),
    'a 502 of Google\'s own': answer(502, { error: { code: 502, message: 'try again', status: 'UNAVAILABLE' } }),
    'a 503 with a code that is no text': answer(503, { error: { code: { toString: 1 } } }),
    'a reset connection': reset,
    'an answer cut in the middle': cut,
  };
  for (const status of [429, 500, 503, 504]) {
    passing[`${status}`] = answer(status, '');
    passing[`${status} of the function`] = refusal(status, 'mail_unavailable', 'later');
  }
  for (const [what, step] of Object.entries(passing)) {
    test(`follows ${what}, and its success is silent`, async () => {
      script = [step, accepted()];
      assert.deepEqual(await run(), { logs: [], error: null });
      assert.equal(calls.length, 2);
    });
  }

  test('sends the same id and bytes with a fresh timestamp and signature', async () => {
    script = [refusal(503, 'mail_unavailable', 'later', { 'retry-after': '1' }), accepted()];
    await run();
    const [first, second] = calls;
    assert.equal(second.headers['webhook-id'], first.headers['webhook-id']);
    assert.equal(second.body, first.body);
    assert.equal(second.headers['webhook-timestamp'] - first.headers['webhook-timestamp'], 1);
    const signature = action.sign(KEY, first.headers['webhook-id'], NOW / 1000 + 1, first.body);
    assert.equal(second.headers['webhook-signature'], signature);
    assert.notEqual(second.headers['webhook-signature'], first.headers['webhook-signature']);
  });

  test('happens once: the second failure is told', async () => {
    script = [answer(500, ''), refusal(503, 'mail_unavailable', 'SendGrid is down'), accepted()];
    assert.equal(await failure(), '503 mail_unavailable: SendGrid is down');
    assert.equal(calls.length, 2);
  });

  test('ends at a final answer', async () => {
    script = [answer(503, ''), refusal(401, 'invalid_signature', 'the signature does not hold')];
    assert.equal(await failure(), '401 invalid_signature: the signature does not hold');
  });

  test('names the cause of a network error', async () => {
    const spare = http.createServer();
    await new Promise((listening) => spare.listen(0, '127.0.0.1', listening));
    const closed = `http://127.0.0.1:${spare.address().port}/`;
    await new Promise((done) => spare.close(done));
    assert.equal(await failure(EVENT, { FUNCTION_URL: closed }), 'cannot reach the function: ECONNREFUSED');
    assert.equal(pauses.length, 1);
  });

  const waits = [[undefined, 250], ['0', 250], ['1', 1250], ['2', 2000], ['3600', 2000], ['9'.repeat(400), 2000], ['-1', 250]];
  waits.push(['1.5', 250], ['soon', 250], ['Wed, 21 Oct 2026 07:28:00 GMT', 250]);
  for (const [after, wait] of waits) {
    test(`waits ${wait} ms where Retry-After is ${String(after).slice(0, 30)}`, async () => {
      script = [answer(503, '', after === undefined ? {} : { 'retry-after': after }), accepted()];
      await run();
      assert.deepEqual(pauses, [wait]);
    });
  }

  test('waits for a random while, up to half a second', async () => {
    for (const random of [0, 0.999]) {
      action.clock.random = () => random;
      script = [reset, accepted()];
      await run();
    }
    assert.deepEqual(pauses, [0, 499.5]);
  });
});

describe('time', () => {
  test('is 7 s an attempt, 15 s in all, 2 attempts: under the 20 s of the trigger', () => {
    const { attempts, attemptMs, totalMs, pauseMs } = usual.limits;
    assert.deepEqual([attempts, attemptMs, totalMs, pauseMs], [2, 7000, 15000, 2000]);
  });

  for (const [what, step] of Object.entries({ 'no answer': hang, 'an answer without an end': trickle })) {
    test(`ends an attempt with ${what}, and the next one may succeed`, async () => {
      action.limits.attemptMs = 60;
      action.clock.sleep = async () => Object.assign(action.limits, usual.limits);
      script = [step, accepted()];
      assert.deepEqual(await run(), { logs: [], error: null });
      assert.equal(calls.length, 2);
    });

    test(`ends an attempt with ${what} while the garbage collector runs, and closes its connection`, async (t) => {
      v8.setFlagsFromString('--expose-gc');
      const collect = setInterval(vm.runInNewContext('gc'), 5);
      t.after(() => clearInterval(collect));
      Object.assign(action.limits, { attempts: 1, attemptMs: 60 });
      let closed;
      script = [(response) => ((closed = new Promise((done) => response.once('close', done))), step(response))];
      assert.equal(await failure(), 'no answer within 60 ms');
      await closed;
    });
  }

  test('of the second attempt is what is left of the whole', async () => {
    action.clock.sleep = async () => {
      now += usual.limits.totalMs - 40;
    };
    script = [answer(503, ''), hang];
    assert.equal(await failure(), 'no answer within 40 ms');
  });

  test('leaves no timer behind', async () => {
    const timers = () => process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length;
    await run();
    const before = timers(); // what fetch keeps for its connections
    for (let n = 0; n < 5; n += 1) await run();
    assert.ok(timers() < before + 5);
  });
});

describe('failure', () => {
  test('is logged with the address, and thrown without it', async () => {
    script = [refusal(502, 'mail_rejected', 'no')];
    const { logs, error } = await run();
    assert.deepEqual(logs, [`Error sending email to ${ADDRESS}: 502 mail_rejected: no`]);
    assert.equal(error.message, 'The notice may not have been sent: 502 mail_rejected: no');
    assert.equal(error.cause, undefined);
  });

  test('is logged within 256 characters, the address cut at 100', async () => {
    const address = `${'a'.repeat(150)}@example.com`;
    script = [refusal(400, 'invalid_event', 'x'.repeat(1000))];
    const { logs, error } = await run(withUser({ email: address }));
    assert.equal(logs[0].length, 256);
    assert.ok(logs[0].startsWith(`Error sending email to ${'a'.repeat(100)}: 400 invalid_event: xxx`));
    assert.equal(error.message.length, 256);
  });

  test('never tells the address or the key in the error, even where the answer echoes them', async () => {
    script = [refusal(400, 'invalid_event', `${ADDRESS} is odd`)];
    const { error } = await run();
    assert.equal(error.message, 'The notice may not have been sent: 400 invalid_event: the user is odd');
    assert.ok(!error.stack.includes(ADDRESS) && !error.stack.includes(KEY.slice(6)));
  });

  test('stands in one line', async () => {
    script = [refusal(400, 'invalid_event', 'one\r\n\ttwo\u2028three')];
    assert.equal(await failure(), '400 invalid_event: one two three');
  });

  for (const user of [{}, { email: '' }, { email: null }]) {
    test(`names a user without an address as such: ${JSON.stringify(user)}`, async () => {
      script = [refusal(400, 'invalid_event', 'no')];
      const { logs } = await run(withUser(user));
      assert.deepEqual(logs, ['Error sending email to a user without an address: 400 invalid_event: no']);
    });
  }

  test('comes out for any answer at all', async () => {
    const odd = ['[]', '"text"', '1', '{"error":null}', '{"error":{"code":{}}}', '{"error":{"code":"c"}}', '\u0000', '{"id":[]}'];
    for (const body of odd) {
      for (const status of [200, 400, 502]) {
        [script, calls] = [[answer(status, body), answer(status, body)], []];
        assert.ok((await failure()).length > 0);
      }
    }
  });
});
