/** How a request for a deployment ended. The order is that of the counters in an ingress. */
export const OUTCOMES = [
  'ok',
  /** user code failed, or its result says `status: 0` */
  'application_error',
  /** a 4xx answer, of the ingress or of user code */
  'client_error',
  /** 429: the queue, or the buffer of bodies, was full */
  'refused',
  /** 500: the replica gave up on it */
  'replica_failed',
  /** 502: replicas died with it, or what they answered is no HTTP */
  'bad_gateway',
  /** 503: nothing was there to answer it */
  'unavailable',
  /** 504: its deadline passed */
  'timeout',
  /** its client left before the answer was whole */
  'cancelled',
] as const;

export type Outcome = (typeof OUTCOMES)[number];

/** Outcomes that say that something is wrong here, and not with who asks. */
export const FAILURES: readonly Outcome[] = [
  'application_error',
  'refused',
  'replica_failed',
  'bad_gateway',
  'unavailable',
  'timeout',
];
