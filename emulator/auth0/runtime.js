'use strict';
// Runs an Action file the way Auth0 does: one process is one instance of its runtime.
//
//   node auth0.js ACTION.js
//
// JSON lines. In: {run, event, secrets, timeout (ms), sent (unix ms, optional)}. Out, as each ends:
// {run, error, error_class, logs, kept, fetches, stats}, and {uncaught, run} for what is thrown outside of a handler.
// A line that is no JSON object is not ours. At the end of the input the process ends when nothing runs any more.

const { AsyncLocalStorage } = require('node:async_hooks');
const fs = require('node:fs');
const { createRequire } = require('node:module');
const path = require('node:path');
const readline = require('node:readline');
const util = require('node:util');
const vm = require('node:vm');

const HANDLER = 'onExecutePostChangePassword';
const COLLECTED_CHARACTERS = 256 * 1024; // of console output
const KEPT_CHARACTERS = 256; // of it in the tenant's log
const CACHE = { entries: 20, keyBytes: 64, valueBytes: 4096, bytes: 8192, ttlMs: 15 * 60_000, maxTtlMs: 86_400_000 };

const file = path.resolve(process.argv[2]);
const executions = new AsyncLocalStorage(); // several run at once: whose console, whose fetch?
const write = process.stdout.write.bind(process.stdout);

// A line break first: what an Action wrote past `console` must not join our line.
function reply(message) {
  const whole = (_, value) => (typeof value === 'string' ? value.toWellFormed() : value);
  write(`\n${JSON.stringify(message, whole)}\n`);
}

// The Action's module: evaluated at the first execution, once; an error of its top level is that of every execution.

let evaluated = null;

function load() {
  if (!evaluated) {
    const module = { exports: {} };
    evaluated = { module, error: null };
    try {
      const names = ['module', 'exports', 'require'];
      const body = vm.compileFunction(fs.readFileSync(file, 'utf8'), names, { filename: file });
      body(module, module.exports, createRequire(file));
    } catch (error) {
      evaluated.error = { thrown: error };
    }
  }
  if (evaluated.error) throw evaluated.error.thrown;
  return handlerOf(evaluated.module.exports);
}

function handlerOf(exported) {
  if (typeof exported !== 'object' || exported === null) throw new Error('The Action must export an object.');
  const handler = exported[HANDLER];
  if (handler?.constructor?.name === 'AsyncFunction') return handler;
  const signature = `exports.${HANDLER} = async function(event, api) { }`;
  throw new Error(`Invalid function signature for the "${HANDLER}" handler. Use "${signature}" as the signature.`);
}

// api.cache: shared by the executions of an instance, gone with it.

const records = new Map();

const cache = {
  get(key) {
    const record = records.get(key);
    if (record && record.expires_at <= Date.now()) records.delete(key);
    return records.has(key) ? { ...record } : undefined;
  },
  set(key, value, options) {
    const now = Date.now();
    const { ttl, expires_at: expiresAt } = options ?? {};
    const ends = [ttl === undefined ? undefined : now + ttl, expiresAt].filter((end) => end !== undefined);
    const end = Math.floor(Math.min(now + CACHE.maxTtlMs, ...(ends.length ? ends : [now + CACHE.ttlMs])));
    const code = writeError(key, value, now) ?? expiryError(ends, end, now);
    if (code) return { type: 'error', code };
    records.set(key, { value, expires_at: end });
    return { type: 'success', record: { value, expires_at: end } };
  },
  delete(key) {
    return records.delete(key) ? { type: 'success' } : { type: 'error', code: 'CacheKeyDoesNotExist' };
  },
};

function writeError(key, value, now) {
  for (const [name, record] of records) if (record.expires_at <= now) records.delete(name);
  const others = [...records].filter(([name]) => name !== key);
  const size = others.reduce((sum, [name, record]) => sum + bytes(name + record.value), bytes(key + value));
  if (bytes(key) > CACHE.keyBytes) return 'CacheKeySizeExceeded';
  if (bytes(value) > CACHE.valueBytes) return 'CacheValueSizeExceeded';
  if (size > CACHE.bytes) return 'CacheSizeExceeded';
  return others.length >= CACHE.entries ? 'MaxSideEffectsExceeded' : undefined;
}

function expiryError(ends, end, now) {
  if (ends.some((given) => typeof given !== 'number' || !Number.isFinite(given))) return 'InvalidExpiry';
  return end <= now ? 'ItemAlreadyExpired' : undefined;
}

const bytes = (text) => Buffer.byteLength(text);

// Console and fetch: each line and each call belongs to the execution that made it, until its handler has resolved.

function note(level, text) {
  const execution = executions.getStore();
  if (!execution?.open || execution.characters >= COLLECTED_CHARACTERS) return;
  const line = text.slice(0, COLLECTED_CHARACTERS - execution.characters);
  execution.characters += line.length + 1;
  execution.logs.push({ level, text: line });
}

for (const level of ['log', 'info', 'warn', 'error', 'debug', 'trace']) {
  console[level] = (...args) => note(level, util.format(...args));
}
for (const stream of ['stdout', 'stderr']) {
  process[stream].write = (chunk, encoding, done = encoding) => {
    note(stream, Buffer.from(chunk, typeof encoding === 'string' ? encoding : 'utf8').toString().replace(/\n$/, ''));
    if (typeof done === 'function') process.nextTick(done);
    return true;
  };
}

const realFetch = globalThis.fetch;

globalThis.fetch = async function fetch(input, init) {
  const execution = executions.getStore();
  if (!execution?.open) return realFetch(input, init);
  const call = { url: String(input?.url ?? input), method: '', headers: [], body: '', status: 0, error: null };
  execution.fetches.push(call);
  Object.assign(call, await seen(input, init).catch(() => ({}))); // what fetch refuses, it refuses below
  const started = external(execution, 1);
  try {
    const response = await realFetch(input, init);
    call.status = response.status;
    return response;
  } catch (error) {
    const reason = error?.cause?.code || error?.cause?.message;
    call.error = reason ? `${error.message} (${reason})` : String(error?.message ?? error);
    throw error;
  } finally {
    call.duration_ms = Math.round(external(execution, -1) - started);
  }
};

/** The request as fetch sees it. A stream can be read only once: it is left to fetch. */
async function seen(input, init) {
  const body = init?.body instanceof ReadableStream ? '(a stream)' : init?.body;
  const request = new Request(input instanceof Request ? input.clone() : input, { ...init, body, signal: undefined });
  const { url, method, headers } = request;
  return { url, method, headers: [...headers], body: await request.text() };
}

/** Counts the time in which at least one fetch is under way; gives the time it is now. */
function external(execution, step) {
  const now = performance.now();
  if (execution.inFlight > 0) execution.externalMs += now - execution.externalSince;
  execution.externalSince = now;
  execution.inFlight += step;
  return now;
}

// An execution.

const ready = performance.now();
let bootMs = ready; // the first execution's, since Auth0 starts an instance when there is something to run
let running = 0;
let ending = false;

async function execute({ run, event, secrets, timeout, sent }) {
  const received = performance.now();
  const execution = { run, open: true, characters: 0, logs: [], fetches: [] };
  Object.assign(execution, { inFlight: 0, externalMs: 0, externalSince: 0 });
  const times = { boot: bootMs, loaded: received, ended: received };
  [bootMs, running] = [0, running + 1];
  const failed = await executions.run(execution, () => attempt({ event, secrets, timeout }, times));
  external(execution, 0);
  execution.open = false;
  const { logs, fetches } = execution;
  const stats = durations(execution, times, received, sent);
  reply({ run, error: null, error_class: null, ...failed, logs, kept: kept(logs), fetches, stats });
  running -= 1;
  if (ending && running === 0) process.exit();
}

/** Runs the handler; {error, error_class} where it failed. */
async function attempt({ event, secrets, timeout }, times) {
  let timer;
  const late = new Promise((resolve) => {
    const error = new Error(`The Action ran longer than the ${timeout / 1000} seconds that Auth0 gives a trigger.`);
    timer = setTimeout(resolve, timeout, { error: { ...describe(error), stack: '' }, error_class: 'action_timeout' });
  });
  const work = async () => {
    try {
      const handler = load();
      times.loaded = performance.now();
      await handler({ ...event, secrets }, { cache });
      return {};
    } catch (error) {
      return { error: describe(error), error_class: 'action_error' };
    }
  };
  return Promise.race([work(), late]).finally(() => {
    times.ended = performance.now();
    clearTimeout(timer);
  });
}

/** Name, message, stack (without this file) and the line of the Action's file, with paths as seen from its folder. */
function describe(thrown) {
  const error = thrown instanceof Error ? thrown : new Error(util.format('%s', thrown ?? 'Unknown error'));
  const frames = String(error.stack).split('\n').filter((frame) => !frame.includes(__filename));
  const stack = frames.join('\n').replaceAll(path.dirname(file) + path.sep, '');
  const place = stack.split(`${path.basename(file)}:`)[1];
  const line = Number.parseInt(place, 10) || null;
  return { name: String(error.name), message: String(error.message), stack, line };
}

const kept = (logs) => logs.map(({ text }) => text).join('\n').slice(0, KEPT_CHARACTERS);

/**
 * Whole milliseconds, by the names of Auth0's Test answer, whose sums hold here too: total request = total runtime
 * execution + network, total runtime execution = runtime processing (the boot included) + action + external calls.
 */
function durations({ externalMs }, times, received, sent) {
  const boot = Math.round(times.boot);
  const external = Math.round(externalMs);
  const action = Math.max(0, Math.round(times.ended - times.loaded) - external);
  const processing = boot + Math.round(times.loaded - received);
  const arrived = performance.timeOrigin + received;
  const network = Math.max(0, Math.round(arrived - Math.max(sent ?? arrived, performance.timeOrigin + ready)));
  return {
    total_request_duration_ms: processing + action + external + network,
    total_runtime_execution_duration_ms: processing + action + external,
    runtime_processing_duration_ms: processing,
    action_duration_ms: action,
    runtime_external_call_duration_ms: external,
    boot_duration_ms: boot,
    network_duration_ms: network,
  };
}

// What an Action throws where nobody waits for it would end Node: it is told instead, and the instance goes on.
for (const kind of ['unhandledRejection', 'uncaughtException']) {
  process.on(kind, (thrown) => {
    const error = describe(thrown);
    note('error', `Uncaught ${error.stack}`);
    reply({ uncaught: error, run: executions.getStore()?.run ?? null });
  });
}

readline
  .createInterface({ input: process.stdin })
  .on('line', (line) => execute(JSON.parse(line)))
  .on('close', () => {
    ending = true;
    if (running === 0) process.exit();
  });
