// Who takes part, in the order of a round and of the tables.
import { fastapi, fastapiPure, fastify, nodeHttp, uvicorn } from './bare.mjs';
import { modelservePython, modelserveTypescript, modelserveUvloop } from './modelserve.mjs';
import { bentoml, litserve, mlserver, mosec, rayServe } from './peers.mjs';

/** @type {readonly import('./server.mjs').Contestant[]} */
export const CONTESTANTS = [
  nodeHttp,
  fastify,
  uvicorn,
  fastapi,
  fastapiPure,
  modelservePython,
  modelserveUvloop,
  modelserveTypescript,
  rayServe,
  litserve,
  bentoml,
  mlserver,
  mosec,
];
