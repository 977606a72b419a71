/* Who may do what: users, their passwords, command classes and SKU prefixes.
 *
 * Guarantees
 *   A  Passwords are kept as salted SHA-256 only, and compared in constant time. They should be long and random: the
 *      hash is fast, as a gateway's logins must be.
 *   B  A user with prefixes is not told about, and cannot change, any SKU whose name does not begin with one of them.
 *   C  Users do not change while the server runs: any thread may read them.
 */
#ifndef SERVE_ACCESS_H
#define SERVE_ACCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ACCESS_NAME = 31, ACCESS_SALT = 16, ACCESS_DIGEST = 32, ACCESS_PASSWORD = 512 };

typedef struct access_prefix {
    uint8_t length;
    uint8_t bytes[255];
} access_prefix;

typedef struct access_user {
    char name[ACCESS_NAME + 1];
    bool has_password; /* else nobody can log in with one: a certificate, or the default user of an open server */
    uint8_t salt[ACCESS_SALT], digest[ACCESS_DIGEST];
    unsigned classes;
    access_prefix *prefixes; /* none: all SKUs */
    uint32_t prefix_count;
    uint64_t throttle_per_second; /* 0: the setting's */
} access_user;

typedef struct access_users {
    access_user *items;
    uint32_t count;
} access_users;

void access_users_free(access_users *users);
/* The words of a `user` line: NAME [hash H] [classes C,...] [prefix P]... [throttle N]. False: `why` says what is
 * wrong. */
bool access_user_read(access_users *users, char **words, const size_t *lengths, size_t count, char *why, size_t room);
/* Adds the user "default" with all classes; a password of length 0: none, everybody is the default user. */
bool access_add_default(access_users *users, const char *password, size_t length);
const access_user *access_find(const access_users *users, const void *name, size_t length);
bool access_password_fits(const access_user *user, const void *password, size_t length);
bool access_may_see(const access_user *user, const void *sku, size_t length);

/* "sha256:SALT:DIGEST" in hexadecimal, for a user line. */
enum { ACCESS_HASH_TEXT = 7 + 2 * ACCESS_SALT + 1 + 2 * ACCESS_DIGEST };
bool access_hash(const void *password, size_t length, char text[ACCESS_HASH_TEXT + 1]);

#endif
