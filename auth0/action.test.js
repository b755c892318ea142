// Tests the forwarder against a real HTTP server: node --test auth0/action.test.js (Node 18 or 22).
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

// The server: `steps` respond to the requests in order, `calls` records the requests. Each test has its own path, so
// that a late request of the previous test isn't recorded.
let url;
let steps = [];
let calls = [];
const server = http.createServer((request, response) => {
  const chunks = [];
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('end', () => {
    if (!url.endsWith(request.url)) return;
    calls.push({ method: request.method, headers: request.headers, body: Buffer.concat(chunks).toString() });
    const step = steps.shift() ?? accepted();
    step(response, request);
  });
});

const respond = (status, body, headers = {}) => (response) => {
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(typeof body === 'string' ? body : JSON.stringify(body));
};
const errorResponse = (status, code, message, headers) => respond(status, { error: { code, message } }, headers);
const accepted = (status = 200) => (response, request) =>
  respond(status, { status: 'sent', id: request.headers['webhook-id'] })(response);
const hang = () => {};
const reset = (response) => response.socket.destroy();
const stall = (response) => {
  response.writeHead(200, { 'content-type': 'application/json' });
  response.write('{"status":');
};
const truncate = (response) => {
  response.writeHead(200, { 'content-length': '100' });
  response.write('{"status":', () => response.socket.destroy());
};

const originals = { limits: { ...action.limits }, clock: { ...action.clock }, log: console.log, fetch: globalThis.fetch };
let now = NOW;
let delays = [];

before(async () => {
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
});
after(() => {
  server.closeAllConnections();
  server.close();
});
beforeEach(() => {
  url = `http://127.0.0.1:${server.address().port}/${crypto.randomUUID()}`;
  [steps, calls, delays, now] = [[], [], [], NOW];
  Object.assign(action.limits, originals.limits);
  Object.assign(action.clock, {
    now: () => now,
    random: () => 0.5,
    sleep: async (ms) => {
      delays.push(ms);
      now += ms;
    },
  });
});

/** Run the handler, and return what it logged and threw. */
async function run(event = EVENT, secrets = {}) {
  const logs = [];
  console.log = (...parts) => logs.push(parts.join(' '));
  try {
    const received = { ...structuredClone(event), secrets: { FUNCTION_URL: url, CALLOUT_SIGNING_KEY: KEY, ...secrets } };
    await action.onExecutePostChangePassword(received);
    return { logs, error: null };
  } catch (error) {
    return { logs, error };
  } finally {
    console.log = originals.log;
  }
}

/** Return the cause of the failure, which must be in both the log and the error. */
async function failure(event, secrets) {
  const { logs, error } = await run(event, secrets);
  assert.equal(logs.length, 1);
  assert.ok(error instanceof Error, 'the handler throws');
  const cause = error.message.replace(/^The notice may not have been sent: /, '');
  assert.notEqual(cause, error.message);
  assert.ok(logs[0].endsWith(`: ${cause}`), `${logs[0]} | ${cause}`);
  return cause;
}

const withUser = (user) => ({ ...EVENT, user });

describe('handler', () => {
  test('is an async function, as Auth0 requires', () => {
    assert.equal(action.onExecutePostChangePassword.constructor.name, 'AsyncFunction');
  });

  for (const status of [200, 202]) {
    test(`treats ${status} with the callout's id as success, logs nothing, and makes one attempt`, async () => {
      steps = [accepted(status)];
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

  test('contains only the fields that the email uses, and the time', async () => {
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

  test('contains no secret', async () => {
    await run(EVENT, { OTHER: 'another-secret' });
    const sent = JSON.stringify(calls[0]);
    for (const secret of [KEY, KEY.slice(6), 'another-secret']) assert.ok(!sent.includes(secret));
    assert.equal(JSON.parse(calls[0].body).event.secrets, undefined);
  });

  test('is also sent for a user without an email address', async () => {
    assert.equal((await run(withUser({ user_id: 'auth0|1' }))).error, null);
    assert.deepEqual(JSON.parse(calls[0].body).event.user, { user_id: 'auth0|1' });
  });

  test('has a user object even if the event\'s is empty', async () => {
    assert.equal((await run({ user: {}, request: { geoip: null } })).error, null);
    assert.deepEqual(JSON.parse(calls[0].body).event, { user: {} });
  });

  test('preserves null and false', async () => {
    await run(withUser({ email: ADDRESS, email_verified: false, user_id: null }));
    assert.deepEqual(JSON.parse(calls[0].body).event.user, { email: ADDRESS, email_verified: false, user_id: null });
  });

  test('truncates long fields between characters, so that it isn\'t too large', async () => {
    await run({ ...EVENT, request: { user_agent: '😀'.repeat(50_000), language: '"'.repeat(50_000) } });
    const { request } = JSON.parse(calls[0].body).event;
    assert.equal(request.user_agent, '😀'.repeat(1000));
    assert.ok(Buffer.byteLength(calls[0].body) < 65_536);
  });

  test('has a unique id in each execution', async () => {
    for (let n = 0; n < 20; n += 1) await run();
    assert.equal(new Set(calls.map((call) => call.headers['webhook-id'])).size, 20);
  });
});

describe('signature', () => {
  const vectors = path.join(__dirname, '..', 'tests', 'vectors', 'signature.json');
  for (const vector of JSON.parse(fs.readFileSync(vectors, 'utf8'))) {
    test(`matches the vector ${vector.name}`, () => {
      assert.equal(action.sign(vector.secret, vector.id, vector.timestamp, vector.body), vector.signature);
    });
  }

  test('is valid for the bytes that arrive', async () => {
    for (let n = 0; n < 20; n += 1) await run(withUser({ email: crypto.randomBytes(n).toString('latin1') }));
    for (const { headers, body } of calls) {
      const signed = `${headers['webhook-id']}.${headers['webhook-timestamp']}.${body}`;
      const hmac = crypto.createHmac('sha256', Buffer.from(KEY.slice(6), 'base64')).update(signed);
      assert.equal(headers['webhook-signature'], `v1,${hmac.digest('base64')}`);
    }
  });

  for (const keys of [`${KEY} ${OTHER_KEY}`, `\n${KEY}\n${OTHER_KEY}\n`, ` ${KEY}\t`]) {
    test(`uses the first of ${JSON.stringify(keys.replaceAll(KEY, 'A').replaceAll(OTHER_KEY, 'B'))}`, () => {
      assert.equal(action.sign(keys, 'id', 1, 'body'), action.sign(KEY, 'id', 1, 'body'));
      assert.notEqual(action.sign(keys, 'id', 1, 'body'), action.sign(OTHER_KEY, 'id', 1, 'body'));
    });
  }

  for (const bytes of [24, 25, 26, 64]) {
    test(`accepts a key of ${bytes} bytes`, () => {
      assert.match(action.sign(`whsec_${Buffer.alloc(bytes, 7).toString('base64')}`, 'id', 1, ''), /^v1,.{44}$/);
    });
  }

  const malformed = {
    'missing': undefined,
    'empty': '',
    'without whsec_': KEY.slice(6),
    'of 23 bytes': `whsec_${Buffer.alloc(23, 7).toString('base64')}`,
    'of 65 bytes': `whsec_${Buffer.alloc(65, 7).toString('base64')}`,
    'not base64': `whsec_${'?'.repeat(32)}`,
    'without padding': `whsec_${Buffer.alloc(32, 7).toString('base64').slice(0, -1)}`,
    'in URL-safe base64': `whsec_${'-_'.repeat(16)}`,
    'followed by a quotation mark': `${KEY}"`,
  };
  for (const [what, key] of Object.entries(malformed)) {
    test(`fails without a request if the key is ${what}, and the message doesn't contain the key`, async () => {
      const cause = await failure(EVENT, { CALLOUT_SIGNING_KEY: key });
      assert.equal(cause, 'the secret CALLOUT_SIGNING_KEY must be whsec_ followed by 24 to 64 bytes in base64');
      assert.deepEqual([calls.length, delays.length], [0, 0]);
    });
  }
});

describe('FUNCTION_URL', () => {
  const request = async (functionUrl) => {
    let requested = null;
    globalThis.fetch = async (target) => {
      requested = target;
      throw new Error('stop');
    };
    try {
      return { error: (await run(EVENT, { FUNCTION_URL: functionUrl })).error.message, requested };
    } finally {
      globalThis.fetch = originals.fetch;
    }
  };

  const valid = ['https://f.example/callout', ' https://f.example/callout\n', 'http://localhost:8080/', 'http://127.0.0.1:1234/'];
  for (const functionUrl of [...valid, 'http://127.8.9.10/', 'http://[::1]:8080/', 'https://f.example/?a=b']) {
    test(`can be ${JSON.stringify(functionUrl)}`, async () => {
      assert.equal((await request(functionUrl)).requested, functionUrl.trim());
    });
  }

  const prefix = 'The notice may not have been sent: the secret FUNCTION_URL';
  const invalid = [
    'http://f.example/', 'http://127.0.0.1.f.example/', 'http://localhost.f.example/', 'http://10.0.0.1/', 'http://[::2]/',
    'ftp://localhost/', 'file:///etc/passwd', 'https://user:word@f.example/', 'https://user@f.example/',
  ];
  for (const functionUrl of invalid) {
    test(`can't be ${functionUrl}`, async () => {
      const { error, requested } = await request(functionUrl);
      assert.equal(requested, null);
      assert.equal(error, `${prefix} must be an https URL without credentials`);
    });
  }

  for (const functionUrl of [undefined, '', 'f.example', KEY]) {
    test(`is reported if it is ${functionUrl === KEY ? 'the signing key' : functionUrl}`, async () => {
      const { error, requested } = await request(functionUrl);
      assert.equal(requested, null);
      assert.equal(error, `${prefix} is missing or not a URL`);
    });
  }
});

describe('response', () => {
  const foreign = {
    'a login page': respond(200, '<html>Sign in</html>', { 'content-type': 'text/html' }),
    'empty': respond(202, ''),
    'JSON with another id': respond(200, { status: 'sent', id: 'msg_other' }),
    'JSON without an id': respond(200, { status: 'sent' }),
    'null': respond(200, 'null'),
    'too large': (response, request) =>
      respond(200, { id: request.headers['webhook-id'], padding: 'x'.repeat(70_000) })(response),
  };
  for (const [what, step] of Object.entries(foreign)) {
    test(`is a failure and isn't retried if a 200 or 202 is ${what}`, async () => {
      steps = [step];
      assert.match(await failure(), /^HTTP 20[02], but not from the function: check FUNCTION_URL$/);
      assert.equal(calls.length, 1);
    });
  }

  for (const status of [201, 204, 206]) {
    test(`is a failure and isn't retried if the status is ${status}`, async () => {
      steps = [respond(status, '')];
      assert.equal(await failure(), `HTTP ${status}`);
      assert.equal(calls.length, 1);
    });
  }

  for (const status of [301, 302, 307, 308]) {
    test(`is a failure and isn't retried or followed if it is a redirect (${status})`, async () => {
      steps = [respond(status, '', { location: url })];
      assert.equal(await failure(), 'can\'t reach the function: unexpected redirect');
      assert.equal(calls.length, 1);
    });
  }

  for (const status of [400, 401, 403, 404, 405, 408, 409, 410, 413, 415, 422, 501, 505]) {
    test(`isn't retried if the status is ${status}`, async () => {
      steps = [errorResponse(status, 'some_code', 'a message')];
      assert.equal(await failure(), `${status} some_code: a message`);
      assert.equal(calls.length, 1);
    });
  }

  test('isn\'t retried if the 502 is the function\'s: SendGrid rejected the email', async () => {
    steps = [errorResponse(502, 'mail_rejected', 'verify SENDER_EMAIL')];
    assert.equal(await failure(), '502 mail_rejected: verify SENDER_EMAIL');
    assert.equal(calls.length, 1);
  });
});

describe('retry', () => {
  const temporary = {
    'a 502 from a proxy': respond(502, '<html>Bad Gateway</html>'),
    'a 502 with other JSON': respond(502, { error: 'bad gateway' }),
    'a 502 from Google': respond(502, { error: { code: 502, message: 'try again', status: 'UNAVAILABLE' } }),
    'a 503 whose code isn\'t a string': respond(503, { error: { code: { toString: 1 } } }),
    'a reset connection': reset,
    'a truncated response': truncate,
  };
  for (const status of [429, 500, 503, 504]) {
    temporary[`${status}`] = respond(status, '');
    temporary[`${status} from the function`] = errorResponse(status, 'mail_unavailable', 'later');
  }
  for (const [what, step] of Object.entries(temporary)) {
    test(`follows ${what}, and nothing is logged if it succeeds`, async () => {
      steps = [step, accepted()];
      assert.deepEqual(await run(), { logs: [], error: null });
      assert.equal(calls.length, 2);
    });
  }

  test('sends the same id and bytes with a fresh timestamp and signature', async () => {
    steps = [errorResponse(503, 'mail_unavailable', 'later', { 'retry-after': '1' }), accepted()];
    await run();
    const [first, second] = calls;
    assert.equal(second.headers['webhook-id'], first.headers['webhook-id']);
    assert.equal(second.body, first.body);
    assert.equal(second.headers['webhook-timestamp'] - first.headers['webhook-timestamp'], 1);
    const signature = action.sign(KEY, first.headers['webhook-id'], NOW / 1000 + 1, first.body);
    assert.equal(second.headers['webhook-signature'], signature);
    assert.notEqual(second.headers['webhook-signature'], first.headers['webhook-signature']);
  });

  test('happens once: the second failure is reported', async () => {
    steps = [respond(500, ''), errorResponse(503, 'mail_unavailable', 'SendGrid is down'), accepted()];
    assert.equal(await failure(), '503 mail_unavailable: SendGrid is down');
    assert.equal(calls.length, 2);
  });

  test('stops at a permanent error', async () => {
    steps = [respond(503, ''), errorResponse(401, 'invalid_signature', 'invalid signature')];
    assert.equal(await failure(), '401 invalid_signature: invalid signature');
  });

  test('reports the cause of a network error', async () => {
    const stopped = http.createServer();
    await new Promise((resolve) => stopped.listen(0, '127.0.0.1', resolve));
    const closedUrl = `http://127.0.0.1:${stopped.address().port}/`;
    await new Promise((resolve) => stopped.close(resolve));
    assert.equal(await failure(EVENT, { FUNCTION_URL: closedUrl }), 'can\'t reach the function: ECONNREFUSED');
    assert.equal(delays.length, 1);
  });

  const cases = [[undefined, 250], ['0', 250], ['1', 1250], ['2', 2000], ['3600', 2000], ['9'.repeat(400), 2000], ['-1', 250]];
  cases.push(['1.5', 250], ['soon', 250], ['Wed, 21 Oct 2026 07:28:00 GMT', 250]);
  for (const [retryAfter, delay] of cases) {
    test(`waits ${delay} ms if Retry-After is ${String(retryAfter).slice(0, 30)}`, async () => {
      steps = [respond(503, '', retryAfter === undefined ? {} : { 'retry-after': retryAfter }), accepted()];
      await run();
      assert.deepEqual(delays, [delay]);
    });
  }

  test('waits for a random delay, up to half a second', async () => {
    for (const random of [0, 0.999]) {
      action.clock.random = () => random;
      steps = [reset, accepted()];
      await run();
    }
    assert.deepEqual(delays, [0, 499.5]);
  });
});

describe('timeout', () => {
  test('is 7 s per attempt and 15 s for 2 attempts: less than the trigger\'s 20 s', () => {
    const { attempts, attemptMs, totalMs, delayMs } = originals.limits;
    assert.deepEqual([attempts, attemptMs, totalMs, delayMs], [2, 7000, 15000, 2000]);
  });

  for (const [what, step] of Object.entries({ 'no response': hang, 'an endless response': stall })) {
    test(`ends an attempt with ${what}, and the next one can succeed`, async () => {
      action.limits.attemptMs = 60;
      action.clock.sleep = async () => Object.assign(action.limits, originals.limits);
      steps = [step, accepted()];
      assert.deepEqual(await run(), { logs: [], error: null });
      assert.equal(calls.length, 2);
    });

    test(`ends an attempt with ${what} while the garbage collector runs, and closes its connection`, async (t) => {
      v8.setFlagsFromString('--expose-gc');
      const collect = setInterval(vm.runInNewContext('gc'), 5);
      t.after(() => clearInterval(collect));
      Object.assign(action.limits, { attempts: 1, attemptMs: 60 });
      let closed;
      steps = [(response) => ((closed = new Promise((resolve) => response.once('close', resolve))), step(response))];
      assert.equal(await failure(), 'no response within 60 ms');
      await closed;
    });
  }

  test('of the second attempt is the remaining time', async () => {
    action.clock.sleep = async () => {
      now += originals.limits.totalMs - 40;
    };
    steps = [respond(503, ''), hang];
    assert.equal(await failure(), 'no response within 40 ms');
  });

  test('leaves no timer running', async () => {
    const timers = () => process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length;
    await run();
    const before = timers(); // fetch keeps some for its connections
    for (let n = 0; n < 5; n += 1) await run();
    assert.ok(timers() < before + 5);
  });
});

describe('failure', () => {
  test('is logged with the address, and the thrown error doesn\'t contain it', async () => {
    steps = [errorResponse(502, 'mail_rejected', 'no')];
    const { logs, error } = await run();
    assert.deepEqual(logs, [`Error sending email to ${ADDRESS}: 502 mail_rejected: no`]);
    assert.equal(error.message, 'The notice may not have been sent: 502 mail_rejected: no');
    assert.equal(error.cause, undefined);
  });

  test('is logged in at most 256 characters, with the address truncated to 100', async () => {
    const address = `${'a'.repeat(150)}@example.com`;
    steps = [errorResponse(400, 'invalid_event', 'x'.repeat(1000))];
    const { logs, error } = await run(withUser({ email: address }));
    assert.equal(logs[0].length, 256);
    assert.ok(logs[0].startsWith(`Error sending email to ${'a'.repeat(100)}: 400 invalid_event: xxx`));
    assert.equal(error.message.length, 256);
  });

  test('doesn\'t put the address or the key into the error, even if the response echoes them', async () => {
    steps = [errorResponse(400, 'invalid_event', `${ADDRESS} is invalid`)];
    const { error } = await run();
    assert.equal(error.message, 'The notice may not have been sent: 400 invalid_event: the user is invalid');
    assert.ok(!error.stack.includes(ADDRESS) && !error.stack.includes(KEY.slice(6)));
  });

  const flow = (...statuses) => statuses.map((status, number) => ({ name: `action_${number + 1}`, status }));
  const flows = [
    [flow('sent', 'failed', 'failed'), '502 mail_rejected (only action_2, action_3 failed): no'],
    [flow('failed', 'failed'), '502 mail_rejected: no'],
    [flow('failed'), '502 mail_rejected: no'],
    [[], '502 mail_rejected: no'],
    [[null, { status: 'sent' }], '502 mail_rejected: no'],
    ['failed', '502 mail_rejected: no'],
  ];
  for (const [actions, cause] of flows) {
    test(`names the Actions that failed if others succeeded: ${JSON.stringify(actions)}`, async () => {
      steps = [respond(502, { error: { code: 'mail_rejected', message: 'no' }, actions })];
      assert.equal(await failure(), cause);
    });
  }

  test('is logged on one line', async () => {
    steps = [errorResponse(400, 'invalid_event', 'one\r\n\ttwo\u2028three')];
    assert.equal(await failure(), '400 invalid_event: one two three');
  });

  for (const user of [{}, { email: '' }, { email: null }]) {
    test(`is logged for a user without an email address: ${JSON.stringify(user)}`, async () => {
      steps = [errorResponse(400, 'invalid_event', 'no')];
      const { logs } = await run(withUser(user));
      assert.deepEqual(logs, ['Error sending email to a user without an email address: 400 invalid_event: no']);
    });
  }

  test('is logged for any response body', async () => {
    const bodies = ['[]', '"text"', '1', '{"error":null}', '{"error":{"code":{}}}', '{"error":{"code":"c"}}', '\u0000', '{"id":[]}'];
    for (const body of bodies) {
      for (const status of [200, 400, 502]) {
        [steps, calls] = [[respond(status, body), respond(status, body)], []];
        assert.ok((await failure()).length > 0);
      }
    }
  });
});
