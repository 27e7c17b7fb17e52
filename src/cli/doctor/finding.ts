/** What a check found: `ok` needs nothing, `note` is worth knowing, `warn` will hurt later, `bad` keeps modelserve from working. */
export interface DoctorFinding {
  readonly check: string;
  readonly state: 'ok' | 'note' | 'warn' | 'bad';
  readonly found: string;
  /** what to do about it; '' for nothing */
  readonly advice: string;
}

export function ok(check: string, found: string): DoctorFinding {
  return { check, state: 'ok', found, advice: '' };
}

export function note(check: string, found: string, advice = ''): DoctorFinding {
  return { check, state: 'note', found, advice };
}

export function warn(check: string, found: string, advice: string): DoctorFinding {
  return { check, state: 'warn', found, advice };
}

export function bad(check: string, found: string, advice: string): DoctorFinding {
  return { check, state: 'bad', found, advice };
}
