/**
 * The token of a page: from its address, or from whoever sits before it.
 *
 * @module
 */

const KEPT = "blaze-relay token";
/** Of the field, which a label names. */
const FIELD = "token";

/**
 * What stands behind the `#`, in the part of the address that no server sees. A token is taken out of
 * it, so that it is in no bookmark and on no shared screen, and kept until the tab is closed.
 */
export function readHash(): { hash: URLSearchParams; token: string | undefined } {
  const hash = new URLSearchParams(location.hash.slice(1));
  const brought = hash.get("token");
  if (brought !== null) {
    sessionStorage.setItem(KEPT, brought);
    hash.delete("token");
    history.replaceState(null, "", hash.size > 0 ? `#${hash}` : location.pathname);
  }
  return { hash, token: sessionStorage.getItem(KEPT) || undefined };
}

/**
 * Asks in `place` for a token that the relay takes, after it has refused the one that was `tried`.
 * Resolves once there is one; it is kept until the tab is closed.
 */
export function askToken(place: HTMLElement, tried: string | undefined): Promise<string> {
  const form = document.createElement("form");
  form.className = "ask";
  const title = made("h2", "This relay wants its token");
  const refused = made("p", "The relay does not take this token.");
  refused.className = "refused";
  refused.role = "alert";
  const field = document.createElement("input");
  Object.assign(field, { id: FIELD, type: "password", required: true, autocomplete: "off" });
  const label = made("label", "Token");
  label.htmlFor = FIELD;
  const row = document.createElement("div");
  row.append(label, field);
  const help = made(
    "p",
    "It was set as TOKEN where the relay runs, or the relay has made one and printed it at its " +
      "start. This page keeps it until the tab is closed.",
  );
  form.append(title, ...tried === undefined ? [] : [refused], row, help, made("button", "Connect"));
  place.replaceChildren(form);
  place.hidden = false;
  field.focus();
  return new Promise((resolve) => {
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const token = field.value.trim();
      sessionStorage.setItem(KEPT, token);
      place.hidden = true;
      place.replaceChildren();
      resolve(token);
    });
  });
}

function made<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  text: string,
): HTMLElementTagNameMap[Tag] {
  const element = document.createElement(tag);
  element.textContent = text;
  return element;
}
