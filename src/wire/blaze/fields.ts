/**
 * The field names that a BlazeBinary record writes as one byte (BlazeBinary record, section 2
 * fields). The name at index `i` has the id `i + 1`; ids 00 and 3b..fe are unassigned.
 *
 * The table is for the names of record fields only: dictionary keys are always spelled out.
 *
 * @module
 */

/** The 58 common names in the order of their ids, 01 to 3a. */
// deno-fmt-ignore
export const commonNames: readonly string[] = [
  "id", "createdAt", "updatedAt", "userId", "teamId", "title", "description", "status", // 01..08
  "priority", "assignedTo", "tags", "completedAt", "dueDate", "startDate", "category", "name", // ..10
  "email", "password", "username", "firstName", "lastName", "age", "phone", "address", // ..18
  "city", "state", "zip", "country", "organizationId", "projectId", "taskId", "bugId", // ..20
  "issueId", "commentId", "attachmentId", "versionId", "parentId", "childIds", "metadata", // ..27
  "config", "settings", "preferences", "type", "kind", "label", "value", "count", "total", // ..30
  "sum", "average", "min", "max", "isActive", "isDeleted", "isPublic", "isPrivate", // ..38
  "isArchived", "isFavorite", // 39, 3a
];

/** The id of each common name. Case matters. */
export const commonIds: ReadonlyMap<string, number> = new Map(
  commonNames.map((name, index) => [name, index + 1]),
);

/** The key byte before a name that is spelled out. */
export const CUSTOM_NAME = 0xff;
