/** What a `traceparent` says (https://www.w3.org/TR/trace-context/): whose part a request is. */
export interface TraceContext {
  /** 32 hexadecimal digits */
  readonly traceId: string;
  /** of the span that this is part of: 16 hexadecimal digits */
  readonly spanId: string;
  readonly isSampled: boolean;
}

const TRACEPARENT =
  /^(?!ff)[\da-f]{2}-(?<traceId>(?!0{32})[\da-f]{32})-(?<spanId>(?!0{16})[\da-f]{16})-(?<flags>[\da-f]{2})(?:$|-)/;

/** @returns null where there is none, or one that breaks the rules, which counts as none */
export function readTraceparent(text: string | readonly string[] | undefined): TraceContext | null {
  if (typeof text !== 'string') return null;
  const groups = TRACEPARENT.exec(text)?.groups;
  if (groups === undefined) return null;
  const { traceId = '', spanId = '', flags = '' } = groups;
  return { traceId, spanId, isSampled: (Number.parseInt(flags, 16) & 1) === 1 };
}

export function writeTraceparent({ traceId, spanId, isSampled }: TraceContext): string {
  return `00-${traceId}-${spanId}-0${isSampled ? 1 : 0}`;
}
