/* Users. The contract is in access.h. */
#include "access.h"

#include "command.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    unsigned class;
} classes[] = {{"read", CLASS_READ}, {"write", CLASS_WRITE}, {"admin", CLASS_ADMIN}};
enum { CLASS_COUNT = sizeof classes / sizeof classes[0] };

void access_users_free(access_users *users) {
    for (uint32_t i = 0; i < users->count; i++)
        free(users->items[i].prefixes);
    free(users->items);
    *users = (access_users){0};
}

/* ---- passwords --------------------------------------------------------------------------------------------------- */

static bool digest_password(const uint8_t *salt, const void *password, size_t length, uint8_t digest[ACCESS_DIGEST]) {
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool done = context && EVP_DigestInit_ex(context, EVP_sha256(), NULL) &&
                EVP_DigestUpdate(context, salt, ACCESS_SALT) && EVP_DigestUpdate(context, password, length) &&
                EVP_DigestFinal_ex(context, digest, NULL);
    EVP_MD_CTX_free(context);
    return done;
}

bool access_password_fits(const access_user *user, const void *password, size_t length) {
    static const access_user nobody = {.has_password = false};
    uint8_t digest[ACCESS_DIGEST];
    const access_user *asked = user ? user : &nobody; /* as long for a user that there is not */
    if (length > ACCESS_PASSWORD || !digest_password(asked->salt, password, length, digest))
        return false;
    return CRYPTO_memcmp(digest, asked->digest, ACCESS_DIGEST) == 0 && asked->has_password;
}

static bool set_password(access_user *user, const char *password, size_t length) {
    user->has_password =
        RAND_bytes(user->salt, ACCESS_SALT) == 1 && digest_password(user->salt, password, length, user->digest);
    return user->has_password;
}

static void write_hex(char *to, const uint8_t *bytes, size_t length) {
    for (size_t i = 0; i < length; i++)
        snprintf(to + 2 * i, 3, "%02x", bytes[i]);
}

static bool read_hex(uint8_t *to, size_t length, const char *text) {
    for (size_t i = 0; i < length; i++) {
        unsigned byte;
        if (strspn(text + 2 * i, "0123456789abcdefABCDEF") < 2 || sscanf(text + 2 * i, "%2x", &byte) != 1)
            return false;
        to[i] = (uint8_t)byte;
    }
    return true;
}

bool access_hash(const void *password, size_t length, char hash[ACCESS_HASH_TEXT + 1]) {
    access_user user = {0};
    if (length > ACCESS_PASSWORD || !set_password(&user, password, length))
        return false;
    memcpy(hash, "sha256:", 7);
    write_hex(hash + 7, user.salt, ACCESS_SALT);
    hash[7 + 2 * ACCESS_SALT] = ':';
    write_hex(hash + 8 + 2 * ACCESS_SALT, user.digest, ACCESS_DIGEST);
    return true;
}

static bool read_hash(access_user *user, const char *hash) {
    user->has_password = strlen(hash) == ACCESS_HASH_TEXT && memcmp(hash, "sha256:", 7) == 0 &&
                         read_hex(user->salt, ACCESS_SALT, hash + 7) && hash[7 + 2 * ACCESS_SALT] == ':' &&
                         read_hex(user->digest, ACCESS_DIGEST, hash + 8 + 2 * ACCESS_SALT);
    return user->has_password;
}

/* ---- user lines -------------------------------------------------------------------------------------------------- */

static access_user *add_user(access_users *users, const char *name) {
    access_user *larger = realloc(users->items, (users->count + 1) * sizeof *larger);
    if (!larger)
        return NULL;
    users->items = larger;
    access_user *user = &larger[users->count++];
    *user = (access_user){0};
    snprintf(user->name, sizeof user->name, "%s", name);
    return user;
}

static bool read_classes(access_user *user, char *list) {
    for (char *word = strtok(list, ","); word; word = strtok(NULL, ",")) {
        unsigned i = 0;
        while (i < CLASS_COUNT && strcmp(word, classes[i].name) != 0)
            i++;
        if (i == CLASS_COUNT)
            return false;
        user->classes |= classes[i].class;
    }
    return user->classes != 0;
}

static bool add_prefix(access_user *user, const char *prefix, size_t length) {
    access_prefix *larger = length > 0 && length <= sizeof larger->bytes
                                ? realloc(user->prefixes, (user->prefix_count + 1) * sizeof *larger)
                                : NULL;
    if (!larger)
        return false;
    user->prefixes = larger;
    access_prefix *added = &larger[user->prefix_count++];
    added->length = (uint8_t)length;
    memcpy(added->bytes, prefix, length);
    return true;
}

static bool is_name(const char *name, size_t length) {
    return length > 0 && length <= ACCESS_NAME && strlen(name) == length &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") == length;
}

static const char *read_option(access_user *user, const char *option, char *value, size_t length) {
    if (strcmp(option, "hash") == 0)
        return read_hash(user, value) ? NULL
                                      : "hash: expected sha256:SALT:DIGEST, as holdfast serve --make-hash prints it";
    if (strcmp(option, "classes") == 0)
        return read_classes(user, value) ? NULL : "classes: expected some of read,write,admin";
    if (strcmp(option, "prefix") == 0)
        return add_prefix(user, value, length) ? NULL : "prefix: expected 1 to 255 bytes";
    if (strcmp(option, "throttle") == 0) {
        char *end;
        user->throttle_per_second = strtoull(value, &end, 10);
        bool fine = *value >= '1' && *value <= '9' && *end == 0 && user->throttle_per_second <= 1000000000;
        return fine ? NULL : "throttle: expected a number of orders per second, 1 to 1000000000";
    }
    return "expected hash, classes, prefix or throttle, each with a value";
}

bool access_user_read(access_users *users, char **words, const size_t *lengths, size_t count, char *why, size_t room) {
    if (count < 1 || !is_name(words[0], lengths[0])) {
        snprintf(why, room, "expected a name of 1 to %d letters, digits, '_', '.', '-'", ACCESS_NAME);
        return false;
    }
    if (access_find(users, words[0], lengths[0])) {
        snprintf(why, room, "%s: there is such a user already", words[0]);
        return false;
    }
    access_user *user = add_user(users, words[0]);
    const char *problem = !user ? "out of memory" : count % 2 == 0 ? "expected a value for each option" : NULL;
    for (size_t i = 1; !problem && i + 1 < count; i += 2)
        problem = read_option(user, words[i], words[i + 1], lengths[i + 1]);
    if (!problem && user->classes == 0)
        problem = "classes are missing: some of read,write,admin";
    if (problem)
        snprintf(why, room, "%s: %s", words[0], problem);
    return !problem;
}

bool access_add_default(access_users *users, const char *password, size_t length) {
    access_user *user = add_user(users, "default");
    if (!user)
        return false;
    user->classes = CLASS_READ | CLASS_WRITE | CLASS_ADMIN;
    return length == 0 || set_password(user, password, length);
}

const access_user *access_find(const access_users *users, const void *name, size_t length) {
    for (uint32_t i = 0; i < users->count; i++)
        if (strlen(users->items[i].name) == length && memcmp(users->items[i].name, name, length) == 0)
            return &users->items[i];
    return NULL;
}

bool access_may_see(const access_user *user, const void *sku, size_t length) {
    if (user->prefix_count == 0)
        return true;
    for (uint32_t i = 0; i < user->prefix_count; i++)
        if (user->prefixes[i].length <= length && memcmp(user->prefixes[i].bytes, sku, user->prefixes[i].length) == 0)
            return true;
    return false;
}
