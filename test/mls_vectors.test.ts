/**
 * The test vectors of RFC 9420 for suite 2 (`test/vectors/mls`), through this client's provider and the
 * MLS library as it is pinned.
 */
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { defaultClientConfig } from "ts-mls/clientConfig.js";
import { type ClientState, makePskIndex } from "ts-mls/clientState.js";
import { refhash } from "ts-mls/crypto/hash.js";
import { decryptWithLabel, encryptWithLabel } from "ts-mls/crypto/hpke.js";
import { deriveSecret, deriveTreeSecret, expandWithLabel } from "ts-mls/crypto/kdf.js";
import { signWithLabel, verifyWithLabel } from "ts-mls/crypto/signature.js";
import type { GroupContext } from "ts-mls/groupContext.js";
import { encodeGroupContext } from "ts-mls/groupContext.js";
import { verifyGroupInfoConfirmationTag, verifyGroupInfoSignature } from "ts-mls/groupInfo.js";
import { makeKeyPackageRef } from "ts-mls/keyPackage.js";
import { initializeEpoch, mlsExporter } from "ts-mls/keySchedule.js";
import { decodeMlsMessage } from "ts-mls/message.js";
import { unprotectPublicMessage } from "ts-mls/messageProtectionPublic.js";
import { computePskSecret } from "ts-mls/presharedkey.js";
import { processPublicMessage } from "ts-mls/processMessages.js";
import { decodeRatchetTree, type RatchetTree } from "ts-mls/ratchetTree.js";
import { treeHash } from "ts-mls/treeHash.js";
import { toNodeIndex } from "ts-mls/treemath.js";
import { applyUpdatePath, decodeUpdatePath } from "ts-mls/updatePath.js";
import { bytesToBase64 } from "ts-mls/util/byteArray.js";
import { decryptGroupInfo, decryptGroupSecrets } from "ts-mls/welcome.js";
import { flawOfTree, type LeafRule } from "../src/client/group/mls/tree_rules.ts";
import { mlsSuite, P256_SUITE } from "../src/client/group/mls/webcrypto_provider.ts";
import { joinByWelcome } from "../src/client/group/mls/welcome_join.ts";
import { concat, fromHex, hex } from "../src/wire/bytes.ts";
import { vectors } from "./kit/vectors.ts";

// deno-lint-ignore no-explicit-any
type Vector = any;

/** What is lost from a file is missed: `count` is how many cases it has. */
const read = (name: string, count: number): Vector[] => {
  const cases = vectors<Vector[]>(`mls/${name}.json`);
  assertEquals(cases.map(({ cipher_suite: suite }) => suite), Array(count).fill(2));
  return cases;
};

const suite = await mlsSuite(P256_SUITE);
const { hash, hpke, kdf, signature } = suite;

/** PKCS#8 of a raw scalar, with its public key: what some runtimes want. */
const pkcs8 = (scalar: string, publicKey: string) =>
  concat(
    fromHex("308187020100301306072a8648ce3d020106082a8648ce3d030107046d306b0201010420"),
    fromHex(scalar),
    fromHex("a144034200"),
    fromHex(publicKey),
  );

const decoded = <T>(pair: [T, number] | undefined): T => {
  assert(pair);
  return pair[0];
};

test("crypto-basics", async () => {
  for (const vector of read("crypto-basics", 1)) {
    const { ref_hash: ref, expand_with_label: expand, derive_secret: derive } = vector;
    assertEquals(hex(await refhash(ref.label, fromHex(ref.value), hash)), ref.out);
    const expanded = await expandWithLabel(
      fromHex(expand.secret),
      expand.label,
      fromHex(expand.context),
      expand.length,
      kdf,
    );
    assertEquals(hex(expanded), expand.out);
    const derived = await deriveSecret(fromHex(derive.secret), derive.label, kdf);
    assertEquals(hex(derived), derive.out);
    const tree = vector.derive_tree_secret;
    const { label, generation, length } = tree;
    const secret = fromHex(tree.secret);
    assertEquals(hex(await deriveTreeSecret(secret, label, generation, length, kdf)), tree.out);
    const sign = vector.sign_with_label;
    const content = fromHex(sign.content);
    const check = (bytes: Uint8Array) =>
      verifyWithLabel(fromHex(sign.pub), sign.label, content, bytes, signature);
    assert(await check(fromHex(sign.signature)));
    const key = pkcs8(sign.priv, sign.pub);
    assert(await check(await signWithLabel(key, sign.label, content, signature)));
    const seal = vector.encrypt_with_label;
    const [context, plaintext] = [fromHex(seal.context), fromHex(seal.plaintext)];
    const open = async (enc: Uint8Array, ciphertext: Uint8Array) => {
      const key = await hpke.importPrivateKey(fromHex(seal.priv));
      return await decryptWithLabel(key, seal.label, context, enc, ciphertext, hpke);
    };
    assertEquals(await open(fromHex(seal.kem_output), fromHex(seal.ciphertext)), plaintext);
    const publicKey = await hpke.importPublicKey(fromHex(seal.pub));
    const { enc, ct } = await encryptWithLabel(publicKey, seal.label, context, plaintext, hpke);
    assertEquals(await open(enc, ct), plaintext);
  }
});

test("psk_secret", async () => {
  for (const { psks, psk_secret } of read("psk_secret", 10)) {
    const list = psks.map((psk: Vector) => [
      { psktype: "external", pskId: fromHex(psk.psk_id), pskNonce: fromHex(psk.psk_nonce) },
      fromHex(psk.psk),
    ]);
    assertEquals(hex(await computePskSecret(list, suite)), psk_secret);
  }
});

test("key-schedule", async () => {
  for (const { group_id, initial_init_secret, epochs } of read("key-schedule", 1)) {
    let init: Uint8Array = fromHex(initial_init_secret);
    for (const [number, epoch] of epochs.entries()) {
      const context: GroupContext = {
        version: "mls10",
        cipherSuite: suite.name,
        groupId: fromHex(group_id),
        epoch: BigInt(number),
        treeHash: fromHex(epoch.tree_hash),
        confirmedTranscriptHash: fromHex(epoch.confirmed_transcript_hash),
        extensions: [],
      };
      assertEquals(hex(encodeGroupContext(context)), epoch.group_context);
      const commitSecret = fromHex(epoch.commit_secret);
      const psk = fromHex(epoch.psk_secret);
      const made = await initializeEpoch(init, commitSecret, context, psk, kdf);
      const { keySchedule: keys } = made;
      assertEquals(hex(made.joinerSecret), epoch.joiner_secret);
      assertEquals(hex(made.welcomeSecret), epoch.welcome_secret);
      assertEquals(hex(made.encryptionSecret), epoch.encryption_secret);
      assertEquals(hex(keys.exporterSecret), epoch.exporter_secret);
      assertEquals(hex(keys.confirmationKey), epoch.confirmation_key);
      assertEquals(hex(keys.membershipKey), epoch.membership_key);
      assertEquals(hex(keys.epochAuthenticator), epoch.epoch_authenticator);
      const { label, context: about, length, secret } = epoch.exporter;
      const exported = mlsExporter(keys.exporterSecret, label, fromHex(about), length, suite);
      assertEquals(hex(await exported), secret);
      init = keys.initSecret;
      assertEquals(hex(init), epoch.init_secret);
    }
  }
});

test("message-protection: commits as PublicMessage", async () => {
  for (const vector of read("message-protection", 1)) {
    const message = decoded(decodeMlsMessage(fromHex(vector.commit_pub), 0));
    assert(message.wireformat === "mls_public_message");
    const context: GroupContext = {
      version: "mls10",
      cipherSuite: suite.name,
      groupId: fromHex(vector.group_id),
      epoch: BigInt(vector.epoch),
      treeHash: fromHex(vector.tree_hash),
      confirmedTranscriptHash: fromHex(vector.confirmed_transcript_hash),
      extensions: [],
    };
    const open = (key: string) =>
      unprotectPublicMessage(
        fromHex(key),
        context,
        [],
        message.publicMessage,
        suite,
        fromHex(vector.signature_pub),
      );
    assertEquals((await open(vector.membership_key)).content.contentType, "commit");
    const wrong = await open("00".repeat(32)).catch(() => "refused");
    assertEquals(wrong, "refused");
  }
});

test("welcome", async () => {
  for (const vector of read("welcome", 1)) {
    const pack = decoded(decodeMlsMessage(fromHex(vector.key_package), 0));
    const message = decoded(decodeMlsMessage(fromHex(vector.welcome), 0));
    assert(pack.wireformat === "mls_key_package" && message.wireformat === "mls_welcome");
    const { welcome } = message;
    const reference = await makeKeyPackageRef(pack.keyPackage, hash);
    const key = await hpke.importPrivateKey(fromHex(vector.init_priv));
    const secrets = await decryptGroupSecrets(key, reference, welcome, hpke);
    const zeros = new Uint8Array(kdf.size);
    const info = await decryptGroupInfo(welcome, secrets!.joinerSecret, zeros, suite);
    assert(await verifyGroupInfoSignature(info!, fromHex(vector.signer_pub), signature));
    assert(await verifyGroupInfoConfirmationTag(info!, secrets!.joinerSecret, zeros, suite));
  }
});

/** The leaves of the vectors are of no group of this profile. */
const anyLeaf: LeafRule = () => Promise.resolve(undefined);

const treeOf = (text: string): RatchetTree => decoded(decodeRatchetTree(fromHex(text), 0));

test("tree-validation: hashes of all nodes, leaves and parent hashes", async () => {
  for (const vector of read("tree-validation", 12)) {
    const tree = treeOf(vector.tree);
    for (const [at, expected] of vector.tree_hashes.entries()) {
      assertEquals(hex(await treeHash(tree, toNodeIndex(at), hash)), expected);
    }
    const root = vector.tree_hashes[(vector.tree_hashes.length - 1) / 2];
    const context = { groupId: fromHex(vector.group_id), treeHash: fromHex(root) };
    const flaw = await flawOfTree(tree, context, suite, anyLeaf);
    assertEquals(flaw, undefined);
  }
});

test("treekem: update paths are applied, whoever sent them", async () => {
  for (const vector of read("treekem", 4)) {
    const tree = treeOf(vector.ratchet_tree);
    for (const { sender, update_path, tree_hash_after } of vector.update_paths) {
      const path = decoded(decodeUpdatePath(fromHex(update_path), 0));
      const after = await applyUpdatePath(tree, sender, path, hash);
      const root = toNodeIndex((after.length - 1) / 2);
      assertEquals(hex(await treeHash(after, root, hash)), tree_hash_after);
    }
  }
});

const PASSIVE = [["passive-client-welcome", 4], ["passive-client-handling-commit", 7]] as const;
for (const [name, count] of PASSIVE) {
  test(`${name}: joins by our own function, and follows`, async () => {
    for (const vector of read(name, count)) {
      const pack = decoded(decodeMlsMessage(fromHex(vector.key_package), 0));
      const message = decoded(decodeMlsMessage(fromHex(vector.welcome), 0));
      assert(pack.wireformat === "mls_key_package" && message.wireformat === "mls_welcome");
      const psks = Object.fromEntries(
        vector.external_psks.map((psk: Vector) => [
          bytesToBase64(fromHex(psk.psk_id)),
          fromHex(psk.psk),
        ]),
      );
      const { state: joined } = await joinByWelcome(
        message.welcome,
        pack.keyPackage,
        {
          initPrivateKey: fromHex(vector.init_priv),
          hpkePrivateKey: fromHex(vector.encryption_priv),
          signaturePrivateKey: fromHex(vector.signature_priv),
        },
        suite,
        makePskIndex(undefined, psks),
        { checkSecrets: () => {}, leaf: anyLeaf },
      );
      let state: ClientState = { ...joined, clientConfig: defaultClientConfig };
      const authenticator = () => hex(state.keySchedule.epochAuthenticator);
      assertEquals(authenticator(), vector.initial_epoch_authenticator);
      for (const epoch of vector.epochs) {
        for (const text of [...epoch.proposals, epoch.commit]) {
          const message = decoded(decodeMlsMessage(fromHex(text), 0));
          assert(message.wireformat === "mls_public_message");
          const index = makePskIndex(state, psks);
          const { publicMessage } = message;
          state = (await processPublicMessage(state, publicMessage, index, suite)).newState;
        }
        assertEquals(authenticator(), epoch.epoch_authenticator);
      }
    }
  });
}
