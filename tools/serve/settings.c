/* Settings: from flags and from a file. The contract is in settings.h. */
#include "settings.h"

#include "request.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

typedef enum setting_kind { KIND_HEADING, KIND_TEXT, KIND_LIST, KIND_NUMBER, KIND_SWITCH, KIND_CHOICE } setting_kind;

typedef struct hf_setting {
    setting_kind kind;
    char name[32]; /* with '_'; shown with '-' */
    size_t offset;
    const char *value; /* what its value is called; choices: the words */
    uint64_t otherwise, least, most;
    const char *help;
} hf_setting;

#define OF_KIND(which, field) .kind = KIND_##which, .name = #field, .offset = offsetof(hf_settings, field)
#define HEADING_ROW(heading) {.kind = KIND_HEADING, .help = heading},
#define TEXT_ROW(field, what, about) {OF_KIND(TEXT, field), .value = what, .help = about},
#define LIST_ROW(field, what, about) {OF_KIND(LIST, field), .value = what, .help = about},
#define NUMBER_ROW(field, start, low, high, about)                                                                     \
    {OF_KIND(NUMBER, field), .value = "N", .otherwise = start, .least = low, .most = high, .help = about},
#define SWITCH_ROW(field, start, about) {OF_KIND(SWITCH, field), .value = "yes|no", .otherwise = start, .help = about},
#define CHOICE_ROW(field, words, about) {OF_KIND(CHOICE, field), .value = words, .help = about},

static const hf_setting table[] = {SETTINGS_MAP(HEADING_ROW, TEXT_ROW, LIST_ROW, NUMBER_ROW, SWITCH_ROW, CHOICE_ROW)};
enum { SETTINGS = sizeof table / sizeof table[0] };

static int fail(settings_problem *problem, const char *where, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int fail(settings_problem *problem, const char *where, const char *format, ...) {
    int length = snprintf(problem->text, sizeof problem->text, "%.200s: ", where);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(problem->text + length, sizeof problem->text - (size_t)length, format, arguments);
    va_end(arguments);
    return 2;
}

static void *field_of(const hf_settings *settings, const hf_setting *setting) {
    return (char *)(uintptr_t)settings + setting->offset;
}

static const char *shown_name(const hf_setting *setting, char name[32]) {
    for (size_t i = 0; i < 32; i++)
        name[i] = (char)(setting->name[i] == '_' ? '-' : setting->name[i]);
    return name;
}

/* `name` may have '-' or '_', and length bytes. */
static const hf_setting *find(const char *name, size_t length) {
    for (unsigned i = 0; i < SETTINGS; i++) {
        const hf_setting *setting = &table[i];
        if (setting->kind == KIND_HEADING || strlen(setting->name) != length)
            continue;
        size_t same = 0;
        while (same < length &&
               (name[same] == setting->name[same] || (name[same] == '-' && setting->name[same] == '_')))
            same++;
        if (same == length)
            return setting;
    }
    return NULL;
}

/* ---- values ------------------------------------------------------------------------------------------------------ */

/* A whole number; k, m, g behind it stand for 1024 and its powers. */
static bool read_number(const char *text, uint64_t *number) {
    if (*text < '0' || *text > '9')
        return false;
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    unsigned shift = 0;
    if (*end == 'k' || *end == 'm' || *end == 'g')
        shift = *end == 'k' ? 10 : *end == 'm' ? 20 : 30;
    end += shift != 0;
    if (errno || *end || value > UINT64_MAX >> shift)
        return false;
    *number = (uint64_t)value << shift;
    return true;
}

/* The place of `text` among `words`, which '|' parts; -1: none. */
static int find_word(const char *words, const char *text) {
    size_t length = strlen(text);
    for (int i = 0; *words; i++) {
        size_t word = strcspn(words, "|");
        if (word == length && memcmp(words, text, length) == 0)
            return i;
        words += word + (words[word] == '|');
    }
    return -1;
}

static int set_list(settings_list *list, const char *value, const char *where, settings_problem *problem) {
    if (list->count == SETTINGS_LIST)
        return fail(problem, where, "expected it at most %d times", SETTINGS_LIST);
    list->items[list->count] = strdup(value);
    return list->items[list->count++] ? 0 : fail(problem, where, "out of memory");
}

static int set_text(char **text, const char *value, const char *where, settings_problem *problem) {
    free(*text);
    *text = strdup(value);
    return *text ? 0 : fail(problem, where, "out of memory");
}

static int set(hf_settings *settings, const hf_setting *setting, const char *value, const char *where,
               settings_problem *problem) {
    void *field = field_of(settings, setting);
    uint64_t number;
    int word;
    if (!*value)
        return fail(problem, where, "it wants a value: %s", setting->value);
    switch (setting->kind) {
    case KIND_TEXT:
        return set_text(field, value, where, problem);
    case KIND_LIST:
        return set_list(field, value, where, problem);
    case KIND_NUMBER:
        if (!read_number(value, &number) || number < setting->least || number > setting->most)
            return fail(problem, where, "'%.100s' found, expected a whole number from %" PRIu64 " to %" PRIu64, value,
                        setting->least, setting->most);
        *(uint64_t *)field = number;
        return 0;
    case KIND_SWITCH:
        word = find_word("no|yes", value);
        if (word < 0)
            return fail(problem, where, "'%.100s' found, expected yes or no", value);
        *(bool *)field = word == 1;
        return 0;
    default:
        word = find_word(setting->value, value);
        if (word < 0)
            return fail(problem, where, "'%.100s' found, expected one of %s", value, setting->value);
        *(unsigned *)field = (unsigned)word;
        return 0;
    }
}

void settings_init(hf_settings *settings) {
    memset(settings, 0, sizeof *settings);
    for (unsigned i = 0; i < SETTINGS; i++) {
        if (table[i].kind == KIND_NUMBER)
            *(uint64_t *)field_of(settings, &table[i]) = table[i].otherwise;
        else if (table[i].kind == KIND_SWITCH)
            *(bool *)field_of(settings, &table[i]) = table[i].otherwise != 0;
    }
}

static void empty_list(settings_list *list) {
    while (list->count)
        free(list->items[--list->count]);
}

void settings_free(hf_settings *settings) {
    for (unsigned i = 0; i < SETTINGS; i++) {
        if (table[i].kind == KIND_TEXT)
            free(*(char **)field_of(settings, &table[i]));
        else if (table[i].kind == KIND_LIST)
            empty_list(field_of(settings, &table[i]));
    }
    access_users_free(&settings->users);
    free(settings->config);
    memset(settings, 0, sizeof *settings);
}

/* ---- the file ---------------------------------------------------------------------------------------------------- */

enum { LINE_BYTES = 4096, LINE_WORDS = 300 };

/* One line, split by the rules of inline commands; each word is made a C string in place. Words: at most LINE_WORDS. */
static int read_line(hf_settings *settings, char *line, size_t length, const char *where, settings_problem *problem) {
    static const request_limits limits = {
        .arguments = LINE_WORDS, .argument_bytes = LINE_BYTES, .inline_bytes = LINE_BYTES, .request_bytes = LINE_BYTES};
    char *words[LINE_WORDS];
    size_t lengths[LINE_WORDS];
    request_parser parser;
    request_init(&parser);
    int result = 0;
    if (request_parse(&parser, &limits, (uint8_t *)line, length) != REQUEST_READY)
        result = fail(problem, where, "%s", request_error_text(parser.error));
    uint32_t count = parser.count;
    for (uint32_t i = 0; result == 0 && i < count; i++) {
        words[i] = line + parser.arguments[i].offset;
        lengths[i] = parser.arguments[i].length;
    }
    for (uint32_t i = 0; result == 0 && i < count; i++)
        words[i][lengths[i]] = 0; /* the byte behind a word is a blank, a quote or the line's end */
    request_free(&parser);
    if (result || count == 0)
        return result;
    if (strcmp(words[0], "user") == 0) {
        char why[256];
        return access_user_read(&settings->users, words + 1, lengths + 1, count - 1, why, sizeof why)
                   ? 0
                   : fail(problem, where, "user: %s", why);
    }
    const hf_setting *setting = find(words[0], lengths[0]);
    char at[256];
    snprintf(at, sizeof at, "%.200s: %.32s", where, words[0]);
    if (!setting)
        return fail(problem, at, "there is no such setting");
    if (count != 2)
        return fail(problem, at, "expected one value: %s", setting->value);
    return set(settings, setting, words[1], at, problem);
}

static int read_file(hf_settings *settings, const char *path, settings_problem *problem) {
    FILE *file = fopen(path, "re");
    if (!file)
        return fail(problem, path, "%s", strerror(errno));
    char line[LINE_BYTES + 2];
    int result = 0;
    for (unsigned number = 1; result == 0 && fgets(line, LINE_BYTES, file); number++) {
        char where[256];
        snprintf(where, sizeof where, "%.200s:%u", path, number);
        size_t length = strlen(line);
        if (length == 0 || line[length - 1] != '\n') {
            if (length >= LINE_BYTES - 1 || !feof(file))
                result = fail(problem, where, "a line longer than %d bytes, or with a zero byte", LINE_BYTES - 2);
            line[length++] = '\n';
            line[length] = 0;
        }
        if (result == 0 && line[strspn(line, " \t")] != '#')
            result = read_line(settings, line, length, where, problem);
    }
    if (result == 0 && ferror(file))
        result = fail(problem, path, "%s", strerror(errno));
    fclose(file);
    return result;
}

/* ---- flags ------------------------------------------------------------------------------------------------------- */

typedef struct hf_flag {
    const hf_setting *setting; /* NULL: --config */
    const char *value;
    char name[40];
} hf_flag;

/* "--name value" or "--name=value" at argv[*at]; *at is moved behind it. 0, 1 for help, 2. */
static int read_flag(hf_flag *flag, int argc, char **argv, int *at, settings_problem *problem) {
    const char *word = argv[(*at)++];
    if (strcmp(word, "-h") == 0 || strcmp(word, "--help") == 0)
        return 1;
    if (strncmp(word, "--", 2) != 0)
        return fail(problem, word, "nothing but flags was expected");
    size_t length = strcspn(word + 2, "=");
    snprintf(flag->name, sizeof flag->name, "--%.*s", (int)(length < 32 ? length : 32), word + 2);
    flag->setting = find(word + 2, length);
    if (!flag->setting && !(length == 6 && memcmp(word + 2, "config", 6) == 0))
        return fail(problem, flag->name, "there is no such flag");
    if (word[2 + length] == '=') {
        flag->value = word + 2 + length + 1;
    } else {
        if (*at >= argc)
            return fail(problem, flag->name, "it wants a value");
        flag->value = argv[(*at)++];
    }
    return 0;
}

int settings_read(hf_settings *settings, int argc, char **argv, settings_problem *problem) {
    hf_flag flag;
    for (int at = 1; at < argc;) {
        int result = read_flag(&flag, argc, argv, &at, problem);
        if (result == 0 && !flag.setting)
            result = settings->config ? fail(problem, flag.name, "expected once")
                                      : set_text(&settings->config, flag.value, flag.name, problem);
        if (result)
            return result;
    }
    if (settings->config) {
        int result = read_file(settings, settings->config, problem);
        if (result)
            return result;
    }
    bool emptied[SETTINGS] = {false};
    for (int at = 1; at < argc;) {
        int result = read_flag(&flag, argc, argv, &at, problem);
        if (result == 0 && flag.setting) {
            if (flag.setting->kind == KIND_LIST && !emptied[flag.setting - table])
                empty_list(field_of(settings, flag.setting));
            emptied[flag.setting - table] = true;
            result = set(settings, flag.setting, flag.value, flag.name, problem);
        }
        if (result)
            return result;
    }
    return 0;
}

/* ---- showing ----------------------------------------------------------------------------------------------------- */

void settings_print_help(FILE *out) {
    for (unsigned i = 0; i < SETTINGS; i++) {
        const hf_setting *setting = &table[i];
        char name[32], left[80];
        if (setting->kind == KIND_HEADING) {
            fprintf(out, "\n%s\n", setting->help);
            continue;
        }
        snprintf(left, sizeof left, "--%s %s", shown_name(setting, name), setting->value);
        fprintf(out, "  %-38s %s", left, setting->help);
        if (setting->kind == KIND_NUMBER && setting->otherwise)
            fprintf(out, "; %" PRIu64, setting->otherwise);
        fputc('\n', out);
    }
}

bool settings_show(const hf_settings *settings, unsigned index, const char **name, char *value, size_t room) {
    static _Thread_local char shown[32];
    unsigned at = 0;
    while (at < SETTINGS && (table[at].kind == KIND_HEADING || index-- > 0))
        at++;
    if (at == SETTINGS)
        return false;
    const hf_setting *setting = &table[at];
    const void *field = field_of(settings, setting);
    *name = shown_name(setting, shown);
    value[0] = 0;
    if (setting->kind == KIND_TEXT && *(char *const *)field) {
        snprintf(value, room, "%s", *(char *const *)field);
    } else if (setting->kind == KIND_NUMBER) {
        snprintf(value, room, "%" PRIu64, *(const uint64_t *)field);
    } else if (setting->kind == KIND_SWITCH) {
        snprintf(value, room, "%s", *(const bool *)field ? "yes" : "no");
    } else if (setting->kind == KIND_CHOICE) {
        const char *word = setting->value;
        for (unsigned i = *(const unsigned *)field; i > 0; i--)
            word += strcspn(word, "|") + 1;
        snprintf(value, room, "%.*s", (int)strcspn(word, "|"), word);
    } else if (setting->kind == KIND_LIST) {
        const settings_list *list = field;
        for (uint32_t i = 0; i < list->count; i++)
            snprintf(value + strlen(value), room - strlen(value), "%s%s", i ? " " : "", list->items[i]);
    }
    return true;
}
