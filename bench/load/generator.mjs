// A load generator in a process of its own: keep-alive connections on raw sockets, one request at a time on each. Closed
// loop without `ratePerSecond`; with it, requests are due at fixed moments and their latency counts from then, so that
// a server that stalls cannot hide it by being asked less. Argument: JSON settings. Prints one line of figures.
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { performance } from 'node:perf_hooks';
import { AnswerReader } from './answer-reader.mjs';

const settings = JSON.parse(process.argv[2] ?? '{}');
const rate = settings.ratePerSecond ?? null;
const request = requestBytes();
const latenciesMs = [];
const errors = { status: 0, timeout: 0, socket: 0 };
/** Connections of an open loop that have nothing to do. */
const idle = [];
/** How many requests of an open loop were sent, of how many that come due. */
let sent = 0;
const wanted = rate === null ? Number.POSITIVE_INFINITY : Math.floor(rate * settings.seconds);

const clients = await Promise.all(Array.from({ length: settings.connections }, openClient));
const begunMs = performance.now();
const endMs = begunMs + settings.seconds * 1000;
setTimeout(giveUp, settings.seconds * 1000 + settings.answerTimeoutMs);
if (rate === null) {
  for (const client of clients) send(client, begunMs);
} else {
  idle.push(...clients);
  tick();
}

function requestBytes() {
  const body = readFileSync(settings.bodyFile);
  const head = [
    `${settings.method} ${settings.path} HTTP/1.1`,
    `host: 127.0.0.1:${settings.port}`,
    `content-type: ${settings.contentType}`,
    `content-length: ${body.length}`,
    '\r\n',
  ];
  return Buffer.concat([Buffer.from(head.join('\r\n'), 'latin1'), body]);
}

function openClient() {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port: settings.port, noDelay: true });
    const client = { socket, dueAtMs: null };
    const reader = new AnswerReader((status) => answered(client, status));
    socket.on('data', (part) => reader.read(part));
    socket.once('connect', () => resolve(client));
    socket.once('error', reject);
    socket.once('close', () => lost(client));
  });
}

/** Sends what has come due since the last tick; what finds no idle connection waits for one and keeps its moment. */
function tick() {
  const now = performance.now();
  while (isDue(now)) {
    const client = idle.pop();
    if (client === undefined) break;
    send(client, dueAt(sent));
  }
  if (sent < wanted) setTimeout(tick, 1);
}

function dueAt(index) {
  return begunMs + (index * 1000) / rate;
}

function isDue(now) {
  return sent < wanted && dueAt(sent) <= now;
}

function send(client, dueAtMs) {
  sent += 1;
  client.dueAtMs = dueAtMs;
  client.socket.write(request);
}

function answered(client, status) {
  const now = performance.now();
  if (status === 200) latenciesMs.push(now - client.dueAtMs);
  else errors.status += 1;
  client.dueAtMs = null;
  if (rate === null && now < endMs) send(client, now);
  else if (rate !== null && isDue(now)) send(client, dueAt(sent));
  else idle.push(client);
  reportWhenDone();
}

function lost(client) {
  if (client.dueAtMs !== null) errors.socket += 1;
  client.dueAtMs = null;
  clients.splice(clients.indexOf(client), 1);
  if (idle.includes(client)) idle.splice(idle.indexOf(client), 1);
  if (clients.length === 0) report();
  else reportWhenDone();
}

function reportWhenDone() {
  const isAllSent = rate === null ? performance.now() >= endMs : sent >= wanted;
  if (isAllSent && idle.length === clients.length) report();
}

/** What is not answered by now counts with the time it has waited: leaving it out would leave out the worst. */
function giveUp() {
  const now = performance.now();
  const waiting = clients.flatMap(({ dueAtMs }) => (dueAtMs === null ? [] : [dueAtMs]));
  const unsent =
    rate === null ? [] : Array.from({ length: wanted - sent }, (_, index) => dueAt(sent + index));
  for (const dueAtMs of [...waiting, ...unsent]) latenciesMs.push(now - dueAtMs);
  errors.timeout = waiting.length + unsent.length;
  report();
}

function report() {
  const seconds = (performance.now() - begunMs) / 1000;
  latenciesMs.sort((a, b) => a - b);
  const percentileUs = (share) =>
    Math.round(
      (latenciesMs[Math.min(latenciesMs.length - 1, Math.floor(latenciesMs.length * share))] ?? 0) * 1000,
    );
  const requests = latenciesMs.length - errors.timeout;
  const figures = { requests, seconds, p50Us: percentileUs(0.5), p99Us: percentileUs(0.99), errors };
  process.stdout.write(`FIGURES ${JSON.stringify(figures)}\n`, () => process.exit(0));
}
