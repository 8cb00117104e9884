/**
 * The rules of `docs/protocol/group.md` that the model can leave out.
 *
 * @module
 */

/** Each can be switched off, and then a property falls. */
export interface Rules {
  /** Rule 2: a commit is appended only where its author has read to. */
  compareAndSet: boolean;
  /** Rule 12: commits go into an old log again that lost them. */
  appendAgain: boolean;
  /** Rule 12: losses, removals, seniority and hash decide, not the place in the ring. */
  decision: boolean;
  /** Rule 12: who saw the loss comes second. */
  doubt: boolean;
  /** Rule 13: what was acted on bars. */
  bars: boolean;
  /** Rule 13: who was removed in a branch that lost is removed again. */
  removeAgain: boolean;
  /** Rule 1: nothing behind the commit counts. */
  ends: boolean;
  /** Rule 11: what the log does not cover is put back. */
  heal: boolean;
  /** Rule 12: more than the last state is kept. */
  keepStates: boolean;
  /** Rule 10: what others say of the past is compared. */
  chains: boolean;
}

export const allRules: Rules = {
  compareAndSet: true,
  appendAgain: true,
  decision: true,
  doubt: true,
  bars: true,
  removeAgain: true,
  ends: true,
  heal: true,
  keepStates: true,
  chains: true,
};
