/** The no-op handler in TypeScript. */
export class NoOp {
  async call(request: { json(): Promise<unknown> }): Promise<unknown> {
    await request.json();
    return { status: 1 };
  }
}
