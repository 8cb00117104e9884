/**
 * A property of `explore.ts` that holds with any relay: two pasts are named.
 *
 * @module
 */
import type { GroupModel } from "./group_model.ts";
import { Fallen, type ModelWorld } from "./state.ts";

/**
 * Two pasts are named by whoever was shown another one before, or reads what somebody wrote who
 * was. Told from the entries, not from what the model keeps as a hash.
 */
export function told(model: GroupModel, world: ModelWorld, index: number): void {
  const { epoch, out, named, crossed } = world.devices[index]!;
  if (named || out || crossed) return;
  const texts = (link: number): string[] =>
    model.names.above(-1, link).map(({ entry, ring }) => JSON.stringify([ring, entry]));
  const log = texts(model.log(world, index, epoch));
  const end = model.valid(model.log(world, index, epoch), epoch)[0];
  model.names.above(-1, model.log(world, index, epoch)).forEach(({ id, entry, ring }) => {
    if (entry!.at < 0 || end !== undefined && id >= end.link) return;
    if (model.names.links[entry!.at]!.ring !== ring) return;
    const past = texts(entry!.at);
    if (past.some((text, place) => text !== log[place])) {
      throw new Fallen(`device ${index} reads of another past and does not say so`);
    }
  });
}
