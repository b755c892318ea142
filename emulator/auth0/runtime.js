'use strict';
// Runs an Action file as Auth0 does: one process is one instance of its runtime.
//
//   node runtime.js ACTION.js
//
// JSON lines. Input: {run, event, secrets, timeout (ms), sent (Unix ms, optional)}. Output, at the end of each
// execution: {run, error, error_class, logs, kept, fetches, stats}, and {uncaught, run} for each unhandled exception.
// Ignore lines that aren't JSON objects. At the end of the input, the process exits after the last execution.

const { AsyncLocalStorage } = require('node:async_hooks');
const fs = require('node:fs');
const { createRequire } = require('node:module');
const path = require('node:path');
const readline = require('node:readline');
const util = require('node:util');
const vm = require('node:vm');

const HANDLER = 'onExecutePostChangePassword';
const MAX_COLLECTED_CHARACTERS = 256 * 1024; // of console output
const MAX_KEPT_CHARACTERS = 256; // of it in the tenant log
const CACHE = { entries: 20, keyBytes: 64, valueBytes: 4096, bytes: 8192, ttlMs: 15 * 60_000, maxTtlMs: 86_400_000 };

const file = path.resolve(process.argv[2]);
const executions = new AsyncLocalStorage(); // assigns console output and fetches to concurrent executions
const write = process.stdout.write.bind(process.stdout);

// Start with a line break, in case the Action bypassed `console` and wrote an incomplete line.
function reply(message) {
  const wellFormed = (_, value) => (typeof value === 'string' ? value.toWellFormed() : value);
  write(`\n${JSON.stringify(message, wellFormed)}\n`);
}

// The Action's module is evaluated once, at the first execution; every execution reports an error at its top level.

let evaluated = null;

function load() {
  if (!evaluated) {
    const module = { exports: {} };
    evaluated = { module, error: null };
    try {
      const names = ['module', 'exports', 'require'];
      const options = { filename: file, importModuleDynamically: vm.constants.USE_MAIN_CONTEXT_DEFAULT_LOADER };
      const body = vm.compileFunction(fs.readFileSync(file, 'utf8'), names, options);
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

// api.cache: shared by all executions of an instance.

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
    const given = [ttl === undefined ? undefined : now + ttl, expiresAt].filter((time) => time !== undefined);
    const expiry = Math.floor(Math.min(now + CACHE.maxTtlMs, ...(given.length ? given : [now + CACHE.ttlMs])));
    const code = writeError(key, value, now) ?? expiryError(given, expiry, now);
    if (code) return { type: 'error', code };
    records.set(key, { value, expires_at: expiry });
    return { type: 'success', record: { value, expires_at: expiry } };
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

function expiryError(given, expiry, now) {
  if (given.some((time) => typeof time !== 'number' || !Number.isFinite(time))) return 'InvalidExpiry';
  return expiry <= now ? 'ItemAlreadyExpired' : undefined;
}

const bytes = (text) => Buffer.byteLength(text);

// Console and fetch: record each line and each request with its execution, until its handler resolves.

function recordLine(level, text) {
  const execution = executions.getStore();
  if (!execution?.open || execution.characters >= MAX_COLLECTED_CHARACTERS) return;
  const line = text.slice(0, MAX_COLLECTED_CHARACTERS - execution.characters);
  execution.characters += line.length + 1;
  execution.logs.push({ level, text: line });
}

for (const level of ['log', 'info', 'warn', 'error', 'debug', 'trace']) {
  console[level] = (...args) => recordLine(level, util.format(...args));
}
for (const stream of ['stdout', 'stderr']) {
  process[stream].write = (chunk, encoding, done = encoding) => {
    recordLine(stream, Buffer.from(chunk, typeof encoding === 'string' ? encoding : 'utf8').toString().replace(/\n$/, ''));
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
  Object.assign(call, await describeRequest(input, init).catch(() => ({}))); // fetch reports invalid arguments below
  const started = countExternal(execution, 1);
  call.started = Date.now() / 1000;
  try {
    const response = await realFetch(input, identified(call, init, execution));
    call.status = response.status;
    return response;
  } catch (error) {
    const reason = error?.cause?.code || error?.cause?.message;
    call.error = reason ? `${error.message} (${reason})` : String(error?.message ?? error);
    throw error;
  } finally {
    call.duration_ms = Math.round(countExternal(execution, -1) - started);
  }
};

/** Add the execution's ID to a callout, so that the emulator can distinguish it from external callouts. */
function identified(call, init, execution) {
  if (!call.method || !execution.functionUrl || call.url !== execution.functionUrl) return init;
  return { ...init, headers: [...call.headers, ['x-emulator-execution', execution.run]] };
}

/** Return the request as fetch sends it, without a stream's content, because fetch has to read that. */
async function describeRequest(input, init) {
  const body = init?.body instanceof ReadableStream ? '(a stream)' : init?.body;
  const request = new Request(input instanceof Request ? input.clone() : input, { ...init, body, signal: undefined });
  const { url, method, headers } = request;
  return { url, method, headers: [...headers], body: await request.text() };
}

/** Count the time during which at least one fetch is in flight; return the current time. */
function countExternal(execution, step) {
  const now = performance.now();
  if (execution.inFlight > 0) execution.externalMs += now - execution.externalSince;
  execution.externalSince = now;
  execution.inFlight += step;
  return now;
}

// Executions.

const ready = performance.now();
let bootMs = ready; // counts toward the first execution, because Auth0 starts instances on demand
let running = 0;
let inputEnded = false;

async function execute({ run, event, secrets, timeout, sent }) {
  const received = performance.now();
  const execution = { run, open: true, characters: 0, logs: [], fetches: [], functionUrl: urlOf(secrets.FUNCTION_URL) };
  Object.assign(execution, { inFlight: 0, externalMs: 0, externalSince: 0 });
  const times = { boot: bootMs, loaded: received, ended: received };
  [bootMs, running] = [0, running + 1];
  const failure = await executions.run(execution, () => runHandler({ event, secrets, timeout }, times));
  countExternal(execution, 0);
  execution.open = false;
  const { logs, fetches } = execution;
  const stats = durations(execution, times, received, sent);
  reply({ run, error: null, error_class: null, ...failure, logs, kept: kept(logs), fetches, stats });
  running -= 1;
  if (inputEnded && running === 0) process.exit();
}

const urlOf = (text) => (URL.canParse(text) ? new URL(text).href : '');

/** Run the handler; return {error, error_class} if it fails. */
async function runHandler({ event, secrets, timeout }, times) {
  let timer;
  const timedOut = new Promise((resolve) => {
    const error = new Error(`The Action exceeded Auth0's limit of ${timeout / 1000} seconds for a trigger.`);
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
  return Promise.race([work(), timedOut]).finally(() => {
    times.ended = performance.now();
    clearTimeout(timer);
  });
}

/** Return name, message, stack (without this file), and the line in the Action's file; paths are relative to it. */
function describe(thrown) {
  const error = thrown instanceof Error ? thrown : new Error(util.format('%s', thrown ?? 'Unknown error'));
  const frames = String(error.stack).split('\n').filter((frame) => !frame.includes(__filename));
  const stack = frames.join('\n').replaceAll(path.dirname(file) + path.sep, '');
  const position = stack.split(`${path.basename(file)}:`)[1];
  const line = Number.parseInt(position, 10) || null;
  return { name: String(error.name), message: String(error.message), stack, line };
}

const kept = (logs) => logs.map(({ text }) => text).join('\n').slice(0, MAX_KEPT_CHARACTERS);

/**
 * Return integer milliseconds, named as in the response of Auth0's Test panel, with the same sums: total request =
 * total runtime execution + network; total runtime execution = runtime processing (including boot) + action +
 * external calls.
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

// An unhandled exception or rejection would end the process; report it and continue instead.
for (const kind of ['unhandledRejection', 'uncaughtException']) {
  process.on(kind, (thrown) => {
    const error = describe(thrown);
    recordLine('error', `Uncaught ${error.stack}`);
    reply({ uncaught: error, run: executions.getStore()?.run ?? null });
  });
}

readline
  .createInterface({ input: process.stdin })
  .on('line', (line) => execute(JSON.parse(line)))
  .on('close', () => {
    inputEnded = true;
    if (running === 0) process.exit();
  });
