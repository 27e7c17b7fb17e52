export interface LastAnswer {
  /** code and phrase */
  readonly status: string;
  readonly code: string;
  readonly info: string;
  readonly requestId?: string;
  /** further ones, `name: value` */
  readonly headers?: readonly string[];
}

/** An answer of HTTP that ends its connection, as it goes over the wire, in the form of all errors: `{status, code, info}`. */
export function lastAnswer({ status, code, info, requestId, headers = [] }: LastAnswer): string {
  const body = JSON.stringify({ status: 0, code, info, request_id: requestId });
  const head = [
    `HTTP/1.1 ${status}`,
    'content-type: application/json; charset=utf-8',
    `content-length: ${Buffer.byteLength(body)}`,
    'connection: close',
    ...headers,
  ];
  return `${head.join('\r\n')}\r\n\r\n${body}`;
}
