/**
 * Tells an application what happened.
 *
 * @module
 */

/**
 * Calls every listener. What one throws is a mistake of the application's and is reported as the platform
 * reports it of any event: neither the other listeners nor the frame that brought it on are to blame.
 */
export function tell<What>(listeners: Iterable<(what: What) => void>, what: What): void {
  for (const listener of listeners) {
    try {
      listener(what);
    } catch (error) {
      reportError(error);
    }
  }
}
