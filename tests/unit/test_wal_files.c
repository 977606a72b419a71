/* The operating system's files behind the table: what each call answers when it works, and when the system refuses.
 * Refusals that cannot be provoked come from wrapped system calls (tests/CMakeLists.txt has the linker's part). */
#include "tests/support/log_kit.c"
#include "tests/support/simulated_files.c"
#include "wal/error.h"
#include "wal/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/random.h>
#include <sys/stat.h>

/* ---- wrapped system calls ---------------------------------------------------------------------------------------- */

static struct {
    int times, error; /* so many calls to come fail so */
} open_fault, close_fault, fcntl_fault, random_fault;
static int direct_opens; /* so many files are open past the page cache, or were */
static bool refuses_direct;

#define FAILS(fault) ((fault).times > 0 && (fault).times-- > 0 && (errno = (fault).error) != 0)

int __real_open(const char *path, int flags, ...);
int __real_close(int file);
int __real_fcntl(int file, int command, ...);
ssize_t __real_getrandom(void *bytes, size_t length, unsigned flags);
int __wrap_open(const char *path, int flags, ...);
int __wrap_close(int file);
int __wrap_fcntl(int file, int command, ...);
ssize_t __wrap_getrandom(void *bytes, size_t length, unsigned flags);

int __wrap_open(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = (flags & O_CREAT) != 0 ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    if ((flags & O_DIRECT) != 0 && refuses_direct) {
        errno = EINVAL;
        return -1;
    }
    direct_opens += (flags & O_DIRECT) != 0;
    return FAILS(open_fault) ? -1 : __real_open(path, flags, mode);
}

int __wrap_close(int file) {
    int result = __real_close(file);
    return FAILS(close_fault) ? -1 : result;
}

int __wrap_fcntl(int file, int command, ...) {
    va_list arguments;
    va_start(arguments, command);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    return FAILS(fcntl_fault) ? -1 : __real_fcntl(file, command, argument);
}

ssize_t __wrap_getrandom(void *bytes, size_t length, unsigned flags) {
    return FAILS(random_fault) ? -1 : __real_getrandom(bytes, length, flags);
}

/* ---- a directory of the system's --------------------------------------------------------------------------------- */

static const hf_files *files;
static char directory[] = "/tmp/holdfast-files-XXXXXX";

static void set_up(void) {
    files = hf_files_system();
    CHECK(mkdtemp(directory) != NULL, "mkdtemp");
}

static void take_down(void) {
    char command[100];
    snprintf(command, sizeof command, "rm -r %s", directory);
    CHECK(system(command) == 0, "%s", command);
}

static const char *in_directory(const char *name) {
    static char paths[2][200];
    static unsigned turn;
    char *path = paths[turn++ % 2];
    snprintf(path, sizeof paths[0], "%s/%s", directory, name);
    return path;
}

static int open_file(const char *name, enum hf_open_mode mode) { return files->open(NULL, in_directory(name), mode); }

TestSuite(wal_files, .init = set_up, .fini = take_down);

Test(wal_files, files_are_written_and_read) {
    char bytes[16];
    uint64_t size, number, other;
    CHECK(open_file("a", HF_OPEN_READ) == -ENOENT && open_file("a", HF_OPEN_WRITE) == -ENOENT, "must exist");
    int file = open_file("a", HF_OPEN_CREATE);
    CHECK(file >= 0 && files->write(NULL, file, "holdfast", 8, 4) == 8, "written");
    CHECK(files->read(NULL, file, bytes, 16, 0) == 12 && memcmp(bytes, "\0\0\0\0holdfast", 12) == 0,
          "short at the end");
    CHECK(files->read(NULL, file, bytes, 16, 12) == 0, "nothing behind it");
    CHECK(files->sync(NULL, file) == 0 && files->size(NULL, file, &size) == 0 && size == 12, "its size");
    CHECK(files->truncate(NULL, file, 100) == 0 && files->size(NULL, file, &size) == 0 && size == 100, "longer");
    CHECK(files->drop_cache(NULL, file) == 0 && files->read(NULL, file, bytes, 4, 8) == 4, "from the disk");
    CHECK(files->identity(NULL, file, &number) == 0, "identity");
    CHECK(files->close(NULL, file) == 0, "closed");
    file = open_file("a", HF_OPEN_LOCK);
    CHECK(file >= 0 && files->size(NULL, file, &size) == 0 && size == 100, "not emptied");
    CHECK(files->close(NULL, file) == 0, "closed");
    file = open_file("a", HF_OPEN_CREATE);
    CHECK(files->size(NULL, file, &size) == 0 && size == 0, "emptied");
    CHECK(files->close(NULL, file) == 0, "closed");
    CHECK(files->rename(NULL, in_directory("a"), in_directory("b")) == 0, "renamed");
    file = open_file("b", HF_OPEN_READ);
    CHECK(files->identity(NULL, file, &other) == 0 && other == number, "the same file");
    CHECK(files->write(NULL, file, "x", 1, 0) == -EBADF, "opened for reading");
    CHECK(files->close(NULL, file) == 0 && files->remove(NULL, in_directory("b")) == 0, "removed");
    CHECK(files->remove(NULL, in_directory("b")) == -ENOENT, "gone");
    CHECK(files->rename(NULL, in_directory("a"), in_directory("b")) == -ENOENT, "gone");
}

/* ---- past the page cache ----------------------------------------------------------------------------------------- */

enum { BLOCK = 4096, BLOCKS = 4 };
static _Alignas(BLOCK) char block[BLOCK];

/* A file of zeros as a spare segment is: written and synced. */
static void make_zeros(const char *name) {
    int file = open_file(name, HF_OPEN_CREATE);
    memset(block, 0, BLOCK);
    for (unsigned i = 0; i < BLOCKS; i++) {
        CHECK(files->write(NULL, file, block, BLOCK, i * BLOCK) == BLOCK, "written");
    }
    CHECK(files->sync(NULL, file) == 0 && files->close(NULL, file) == 0, "synced");
}

static bool is_direct(int file) { return (fcntl(file, F_GETFL) & O_DIRECT) != 0; }

/* Whoever reads the file while it is written sees what was written, also where the page cache had what was before. */
static void write_and_read(const char *name, int file, const char *text, uint64_t offset) {
    char found[16] = "";
    int reader = open_file(name, HF_OPEN_READ);
    CHECK(files->read(NULL, reader, found, 16, offset) == 16, "read before");
    snprintf(block, BLOCK, "%s", text);
    CHECK(files->write(NULL, file, block, BLOCK, offset) == BLOCK, "%s", text);
    CHECK(files->read(NULL, reader, found, 16, offset) == 16 && strcmp(found, text) == 0, "%s: found %s", text, found);
    CHECK(files->sync(NULL, file) == 0 && files->close(NULL, reader) == 0, "synced");
}

Test(wal_files, a_log_is_written_past_the_page_cache) {
    CHECK(open_file("log", HF_OPEN_LOG) == -ENOENT, "must exist");
    make_zeros("log");
    int file = open_file("log", HF_OPEN_LOG);
    CHECK(file >= 0 && direct_opens > 0, "asked for");
    write_and_read("log", file, "one", 0);
    write_and_read("log", file, "two", 3 * BLOCK);
    bool was_direct = is_direct(file);
    CHECK(files->write(NULL, file, "three", 5, 2 * BLOCK - 1) == 5, "no block: through the page cache");
    CHECK(!is_direct(file), "and so from here on");
    if (!was_direct) {
        fprintf(stderr, "SKIPPED: the file system of %s has no way past the page cache\n", directory);
    }
    write_and_read("log", file, "four", BLOCK);
    CHECK(files->write(NULL, file, "", 1, UINT64_MAX) == -EINVAL, "there is no such offset");
    CHECK(files->close(NULL, file) == 0, "closed");
}

Test(wal_files, a_file_system_without_direct_writes_takes_the_page_cache) {
    make_zeros("log");
    refuses_direct = true;
    int file = open_file("log", HF_OPEN_LOG);
    refuses_direct = false;
    CHECK(file >= 0 && !is_direct(file), "opened all the same");
    write_and_read("log", file, "one", BLOCK);
    CHECK(files->close(NULL, file) == 0, "closed");
    open_fault.times = 1;
    open_fault.error = EINVAL;
    CHECK(open_file("log", HF_OPEN_WRITE) == -EINVAL, "of other modes it is an error");
}

Test(wal_files, a_write_that_cannot_leave_the_direct_way_fails) {
    make_zeros("log");
    int file = open_file("log", HF_OPEN_LOG);
    bool direct = is_direct(file);
    fcntl_fault.times = 1;
    fcntl_fault.error = EBADF;
    ssize_t written = files->write(NULL, file, "three", 5, 7);
    CHECK(written == (direct ? -EBADF : 5), "%zd", written);
    fcntl_fault.times = 0;
    CHECK(files->write(NULL, file, "three", 5, 7) == 5, "the next tries again");
    CHECK(files->close(NULL, file) == 0, "closed");
}

static int collect_name(void *context, const char *name) {
    unsigned *count = context;
    *count += strcmp(name, "one") == 0 || strcmp(name, "two") == 0;
    *count += 100u * (name[0] == '.');
    return *count == 7 ? -77 : 0;
}

Test(wal_files, directories_are_made_listed_and_synced) {
    unsigned count = 0;
    CHECK(files->make_directory(NULL, directory) == 0, "it is there");
    CHECK(files->make_directory(NULL, in_directory("sub")) == 0, "made");
    CHECK(files->make_directory(NULL, in_directory("no/sub")) == -ENOENT, "no parent");
    CHECK(files->close(NULL, open_file("one", HF_OPEN_CREATE)) == 0, "one");
    CHECK(files->close(NULL, open_file("two", HF_OPEN_CREATE)) == 0, "two");
    CHECK(files->list(NULL, directory, collect_name, &count) == 0 && count == 2, "%u", count);
    count = 6;
    CHECK(files->list(NULL, directory, collect_name, &count) == -77 && count == 7, "what the visitor answers");
    CHECK(files->list(NULL, in_directory("no"), collect_name, &count) == -ENOENT, "no such directory");
    CHECK(files->sync_directory(NULL, directory) == 0, "synced");
    CHECK(files->sync_directory(NULL, in_directory("no")) == -ENOENT, "no such directory");
    CHECK(files->sync_directory(NULL, "/proc") == -EINVAL, "nothing to sync there");
}

Test(wal_files, a_lock_is_of_the_open_file) {
    int one = open_file("LOCK", HF_OPEN_LOCK), two = open_file("LOCK", HF_OPEN_LOCK),
        reader = open_file("LOCK", HF_OPEN_READ);
    CHECK(one >= 0 && two >= 0 && reader >= 0 && files->locked(NULL, reader) == 0, "free");
    CHECK(files->lock(NULL, one) == 0 && files->lock(NULL, one) == 0, "taken");
    CHECK(files->lock(NULL, two) == -EAGAIN && files->locked(NULL, reader) == 1, "taken");
    CHECK(files->locked(NULL, one) == 0, "its own");
    CHECK(files->close(NULL, two) == 0 && files->locked(NULL, reader) == 1, "another handle's end is nothing to it");
    fcntl_fault.times = 1;
    fcntl_fault.error = EACCES; /* as POSIX allows */
    CHECK(files->lock(NULL, one) == -EAGAIN, "taken, in other words");
    CHECK(files->close(NULL, one) == 0 && files->locked(NULL, reader) == 0, "free");
    CHECK(files->close(NULL, reader) == 0, "closed");
}

Test(wal_files, what_the_system_refuses_is_told) {
    char byte;
    uint64_t number;
    CHECK(files->close(NULL, -1) == -EBADF && files->read(NULL, -1, &byte, 1, 0) == -EBADF, "no file");
    CHECK(files->write(NULL, -1, "x", 1, 0) == -EBADF && files->sync(NULL, -1) == -EBADF, "no file");
    CHECK(files->size(NULL, -1, &number) == -EBADF && files->truncate(NULL, -1, 1) == -EBADF, "no file");
    CHECK(files->lock(NULL, -1) == -EBADF && files->locked(NULL, -1) == -EBADF, "no file");
    CHECK(files->identity(NULL, -1, &number) == -EBADF && files->map(NULL, -1, 4096, false) == NULL, "no file");
    CHECK(files->drop_cache(NULL, -1) == -EBADF, "no file");
}

Test(wal_files, a_mapping_is_shared) {
    int file = open_file("page", HF_OPEN_CREATE), reader = open_file("page", HF_OPEN_READ);
    CHECK(files->truncate(NULL, file, 4096) == 0, "a page");
    uint8_t *mine = files->map(NULL, file, 4096, true), *theirs = files->map(NULL, reader, 4096, false);
    CHECK(mine != NULL && theirs != NULL && files->map(NULL, reader, 4096, true) == NULL, "mapped");
    mine[17] = 5;
    CHECK(theirs[17] == 5, "seen");
    files->unmap(NULL, mine, 4096);
    files->unmap(NULL, theirs, 4096);
    CHECK(files->close(NULL, file) == 0 && files->close(NULL, reader) == 0, "closed");
}

Test(wal_files, an_interrupted_open_is_made_again_but_not_for_ever) {
    open_fault.times = 20;
    open_fault.error = EINTR;
    int file = open_file("a", HF_OPEN_CREATE);
    CHECK(file >= 0 && open_fault.times == 0, "made again");
    open_fault.times = 1 << 30;
    CHECK(open_file("a", HF_OPEN_READ) == -EINTR, "for ever");
    CHECK(open_fault.times == (1 << 30) - HF_INTERRUPTS_MAX, "so often");
    open_fault.times = 0;
    close_fault.times = 1;
    close_fault.error = EINTR; /* the descriptor is given back all the same */
    CHECK(files->close(NULL, file) == 0, "closed");
}

/* ---- what goes through the table --------------------------------------------------------------------------------- */

static ssize_t write_nothing(void *context, int file, const void *data, size_t length, uint64_t offset) {
    (void)context, (void)file, (void)data, (void)length, (void)offset;
    return 0;
}

Test(wal_files, a_write_that_writes_nothing_has_failed) {
    hf_files table = *files;
    table.write = write_nothing;
    CHECK(hf_file_write_all(&table, 0, "holdfast", 8, 0) == -EIO, "not asked for ever");
    CHECK(hf_file_write_all(&table, 0, "", 0, 0) == 0, "nothing was to be written");
}

Test(wal_files, a_new_log_needs_random_bytes) {
    hf_wal_options options = {.files = files, .segment_bytes = KIT_SEGMENT};
    static const hf_wal_position beginning;
    hf_wal *wal;
    hf_wal_found found;
    CHECK(hf_wal_lock(directory, &options, false, &wal) == HF_SUCCESS, "%s", hf_error_detail());
    random_fault.times = 1;
    random_fault.error = ENOSYS;
    CHECK(hf_wal_open(wal, &beginning, NULL, NULL, &found) == HF_EIO && strstr(hf_error_detail(), "random"), "%s",
          hf_error_detail());
    hf_wal_close(wal);
}

/* The whole of it once over the system's files; the other tests have the simulated disk. */
Test(wal_files, a_log_lives_in_them) {
    hf_wal_options options = {.files = files, .segment_bytes = KIT_SEGMENT};
    static const hf_wal_position beginning;
    hf_wal *wal, *second;
    hf_wal_found found;
    kit_list list = {.count = 0};
    for (uint64_t round = 0; round < 3; round++) {
        CHECK(hf_wal_lock(directory, &options, round > 0, &wal) == HF_SUCCESS, "%s", hf_error_detail());
        CHECK(hf_wal_lock(directory, &options, false, &second) == HF_EBUSY, "one at a time");
        list.count = 0;
        CHECK(hf_wal_open(wal, &beginning, kit_collect, &list, &found) == HF_SUCCESS, "%s", hf_error_detail());
        CHECK(list.count == 4 * round && !list.bad, "%zu epochs", list.count);
        for (uint64_t epoch = 1; epoch <= 4; epoch++) {
            CHECK(kit_append(wal, 10 * round + epoch, 50000) == HF_SUCCESS, "%s", hf_error_detail());
        }
        CHECK(hf_wal_prepare(wal, 1) >= 0 && hf_wal_sync_directory(wal) == HF_SUCCESS, "%s", hf_error_detail());
        CHECK(hf_wal_begin(wal, 10 * round + 9, 1, 1) == HF_SUCCESS && hf_wal_put(wal, "torn", 4) == HF_SUCCESS, "%s",
              hf_error_detail());
        hf_wal_close(wal);
    }
}
