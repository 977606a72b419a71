/* Settings and users: what is read from flags and from a file, and that a bad value is told with its place. */
#include <criterion/criterion.h>

#include "harness.h"
#include "tools/serve/command.h"
#include "tools/serve/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct fixture {
    char directory[HARNESS_PATH], path[HARNESS_PATH + 16];
    hf_settings settings;
    settings_problem problem;
} fixture;

static void begin(fixture *f, const char *file) {
    harness_directory(f->directory);
    snprintf(f->path, sizeof f->path, "%s/config", f->directory);
    FILE *out = fopen(f->path, "w");
    cr_assert(out);
    fputs(file, out);
    fclose(out);
    settings_init(&f->settings);
}

static void end(fixture *f) {
    settings_free(&f->settings);
    harness_remove(f->directory);
}

static int read_with(fixture *f, const char *flag, const char *value) {
    char *argv[] = {"serve", "--config", f->path, (char *)(uintptr_t)flag, (char *)(uintptr_t)value, NULL};
    return settings_read(&f->settings, flag ? 5 : 3, argv, &f->problem);
}

Test(settings, the_file_and_flags_before_it) {
    fixture f;
    begin(&f, "# a comment\n\n  dir /srv/shop\nlisten 127.0.0.1:1\nlisten 127.0.0.1:2\nthreads 3\n"
              "max-request-bytes 4m\nthrottle-mode refuse\ntls_name_is_user yes\nunix \"/tmp/a b\"");
    cr_assert_eq(read_with(&f, "--listen", "127.0.0.1:9"), 0, "%s", f.problem.text);
    cr_expect_str_eq(f.settings.dir, "/srv/shop");
    cr_expect_str_eq(f.settings.unix, "/tmp/a b");
    cr_expect_eq(f.settings.listen.count, 1u, "flags replace the file's list");
    cr_expect_str_eq(f.settings.listen.items[0], "127.0.0.1:9");
    cr_expect_eq(f.settings.threads, 3u);
    cr_expect_eq(f.settings.max_request_bytes, 4u << 20);
    cr_expect_eq(f.settings.throttle_mode, (unsigned)THROTTLE_REFUSES);
    cr_expect(f.settings.tls_name_is_user);
    cr_expect_eq(f.settings.login_timeout_ms, 10000u, "what is not said is the default");
    end(&f);
}

Test(settings, a_bad_line_is_told_with_its_place) {
    static const struct {
        const char *file, *told;
    } cases[] = {
        {"dir d\nthreads many\n", ":2: threads: 'many' found, expected a whole number from 0 to 64"},
        {"threads 65\n", ":1: threads: '65' found"},
        {"threads -1\n", ":1: threads: '-1' found"},
        {"max-request-bytes 99999999999999999999\n", ":1: max-request-bytes"},
        {"colour blue\n", ":1: colour: there is no such setting"},
        {"threads\n", ":1: threads: expected one value"},
        {"threads 1 2\n", ":1: threads: expected one value"},
        {"throttle-mode perhaps\n", ":1: throttle-mode: 'perhaps' found, expected one of queue|refuse"},
        {"metrics-anywhere 1\n", ":1: metrics-anywhere: '1' found, expected yes or no"},
        {"dir \"\"\n", ":1: dir: it wants a value"},
        {"dir \"open\n", ":1: unbalanced quotes"},
        {"user\n", ":1: user: expected a name"},
        {"user a\n", ":1: user: a: classes are missing"},
        {"user a classes read,fly\n", ":1: user: a: classes: expected some of read,write,admin"},
        {"user a classes read\nuser a classes read\n", ":2: user: a: there is such a user already"},
        {"user a classes read hash md5:x\n", ":1: user: a: hash: expected sha256:"},
        {"user a classes read prefix\n", ":1: user: a: expected a value for each option"},
        {"user a/b classes read\n", ":1: user: expected a name"},
        {"user a classes read throttle x\n", ":1: user: a: throttle: expected a number"},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fixture f;
        begin(&f, cases[i].file);
        cr_expect_eq(read_with(&f, NULL, NULL), 2, "'%s' was taken", cases[i].file);
        cr_expect(strstr(f.problem.text, cases[i].told), "told: %s\nexpected: %s", f.problem.text, cases[i].told);
        cr_expect(strncmp(f.problem.text, f.path, strlen(f.path)) == 0, "%s", f.problem.text);
        end(&f);
    }
}

Test(settings, a_bad_flag_is_told_by_its_name) {
    fixture f;
    begin(&f, "");
    cr_expect_eq(read_with(&f, "--threads", "x"), 2);
    cr_expect(strstr(f.problem.text, "--threads: 'x' found"), "%s", f.problem.text);
    settings_free(&f.settings);
    cr_expect_eq(read_with(&f, "--colour", "x"), 2);
    cr_expect(strstr(f.problem.text, "--colour: there is no such flag"), "%s", f.problem.text);
    settings_free(&f.settings);
    cr_expect_eq(read_with(&f, "--help", ""), 1);
    end(&f);
}

Test(settings, all_of_them_are_shown_and_no_password_is) {
    fixture f;
    begin(&f, "dir d\npassword-file /etc/secret\n");
    cr_assert_eq(read_with(&f, NULL, NULL), 0, "%s", f.problem.text);
    const char *name;
    char value[1024];
    unsigned count = 0;
    bool found = false;
    for (; settings_show(&f.settings, count, &name, value, sizeof value); count++)
        found = found || (strcmp(name, "dir") == 0 && strcmp(value, "d") == 0);
    cr_expect_gt(count, 40u);
    cr_expect(found);
    end(&f);
}

Test(access, passwords_classes_prefixes) {
    char hash[ACCESS_HASH_TEXT + 1], line[512];
    fixture f;
    cr_assert(access_hash("correct horse", 13, hash));
    snprintf(line, sizeof line,
             "user ann hash %s classes read,write prefix shop1: prefix \"shop 2:\"\nuser bob classes admin\n", hash);
    begin(&f, line);
    cr_assert_eq(read_with(&f, NULL, NULL), 0, "%s", f.problem.text);
    const access_user *ann = access_find(&f.settings.users, "ann", 3), *bob = access_find(&f.settings.users, "bob", 3);
    cr_assert(ann && bob);
    cr_expect_null(access_find(&f.settings.users, "an", 2));
    cr_expect(access_password_fits(ann, "correct horse", 13));
    cr_expect_not(access_password_fits(ann, "correct hors", 12));
    cr_expect_not(access_password_fits(ann, "", 0));
    cr_expect_not(access_password_fits(bob, "", 0), "a user without a password cannot log in with one");
    cr_expect_not(access_password_fits(NULL, "", 0));
    cr_expect_eq(ann->classes, (unsigned)(CLASS_READ | CLASS_WRITE));
    cr_expect(access_may_see(ann, "shop1:apple", 11));
    cr_expect(access_may_see(ann, "shop 2:x", 8));
    cr_expect_not(access_may_see(ann, "shop1", 5));
    cr_expect_not(access_may_see(ann, "shop3:apple", 11));
    cr_expect(access_may_see(bob, "anything", 8));
    end(&f);
}
