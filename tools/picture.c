/* Drawing counters over time: picture.h. */
#include "picture.h"

#include "text.h"
#include "tool.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* Of the picture, and of the plot in it. */
#define WIDTH 1200.0
#define HEIGHT 600.0
#define LEFT 96.0
#define RIGHT 52.0
#define TOP 84.0
#define BOTTOM 64.0
#define DAY_MS 86400e3

static const struct series {
    const char *name, *colour, *width;
} series[HF_PICTURE_SERIES] = {
    /* Told apart by people who see few colours, and on paper by their lightness. */
    {"on_hand", "#56b4e9", "2.5"},
    {"reserved", "#d55e00", "1.5"},
    {"available", "#005a43", "1.8"},
};

/* ---- taking in --------------------------------------------------------------------------------------------------- */

void hf_picture_begin(hf_picture *picture) {
    memset(picture, 0, sizeof *picture);
    picture->width_ms = 1;
}

static void merge(hf_slice *into, const hf_slice *later) {
    if (!later->is_used)
        return;
    if (!into->is_used) {
        *into = *later;
        return;
    }
    for (unsigned s = 0; s < HF_PICTURE_SERIES; s++) {
        into->least[s] = later->least[s] < into->least[s] ? later->least[s] : into->least[s];
        into->greatest[s] = later->greatest[s] > into->greatest[s] ? later->greatest[s] : into->greatest[s];
        into->last[s] = later->last[s];
    }
}

static void widen(hf_picture *picture) {
    for (unsigned i = 0; i < HF_PICTURE_SLICES / 2; i++) {
        hf_slice both = picture->slices[2 * i];
        merge(&both, &picture->slices[2 * i + 1]);
        picture->slices[i] = both;
    }
    memset(picture->slices + HF_PICTURE_SLICES / 2, 0, sizeof picture->slices / 2);
    picture->width_ms *= 2;
}

void hf_picture_add(hf_picture *picture, uint64_t time_ms, const int64_t values[HF_PICTURE_SERIES]) {
    if (!picture->has_begun)
        picture->from_ms = picture->to_ms = time_ms;
    picture->has_begun = true;
    if (time_ms > picture->to_ms)
        picture->to_ms = time_ms;
    while ((picture->to_ms - picture->from_ms) / picture->width_ms >= HF_PICTURE_SLICES)
        widen(picture);
    hf_slice now = {.is_used = true, .first_ms = picture->to_ms};
    memcpy(now.least, values, sizeof now.least);
    memcpy(now.greatest, values, sizeof now.greatest);
    memcpy(now.last, values, sizeof now.last);
    merge(&picture->slices[(picture->to_ms - picture->from_ms) / picture->width_ms], &now);
    picture->steps++;
}

/* ---- axes -------------------------------------------------------------------------------------------------------- */

typedef struct frame {
    FILE *out;
    double from_ms, to_ms, low, high, step;
} frame;

static double x_of(const frame *f, double ms) {
    return LEFT + (WIDTH - LEFT - RIGHT) * (ms - f->from_ms) / (f->to_ms - f->from_ms);
}

static double y_of(const frame *f, double value) {
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - f->low) / (f->high - f->low);
}

/* 1, 2 or 5 times a power of ten, so that about `count` of them make `span`; at least 1. */
static double nice_step(double span, double count) {
    double raw = span / count, power = pow(10, floor(log10(raw > 1 ? raw : 1))), times = raw / power;
    return times <= 1 ? power : times <= 2 ? 2 * power : times <= 5 ? 5 * power : 10 * power;
}

/* The same for time, where people count in 60 and 24. */
static double nice_time(double span_ms) {
    static const double steps[] = {1,      2,      5,      10,      20,      50,      100,     200,      500,     1e3,
                                   2e3,    5e3,    10e3,   15e3,    30e3,    60e3,    120e3,   300e3,    600e3,   900e3,
                                   1800e3, 3600e3, 7200e3, 10800e3, 21600e3, 43200e3, 86400e3, 172800e3, 604800e3};
    for (unsigned i = 0; i < sizeof steps / sizeof steps[0]; i++)
        if (span_ms / steps[i] <= 8)
            return steps[i];
    return DAY_MS * nice_step(span_ms / DAY_MS, 7);
}

static void make_frame(const hf_picture *picture, frame *f) {
    double low = 0, high = 1; /* with the line of nothing at all */
    for (unsigned i = 0; i < HF_PICTURE_SLICES; i++) {
        const hf_slice *slice = &picture->slices[i];
        for (unsigned s = 0; slice->is_used && s < HF_PICTURE_SERIES; s++) {
            low = fmin(low, (double)slice->least[s]);
            high = fmax(high, (double)slice->greatest[s]);
        }
    }
    f->step = nice_step(high - low, 6);
    f->low = floor(low / f->step) * f->step;
    f->high = ceil(high / f->step) * f->step;
    f->from_ms = (double)picture->from_ms;
    f->to_ms = picture->to_ms > picture->from_ms ? (double)picture->to_ms : f->from_ms + 1;
}

/* 1,234,567 */
static const char *grouped(double value, char text[40]) {
    char digits[32];
    int count = snprintf(digits, sizeof digits, "%.0f", fabs(value)), at = 0;
    if (value < 0)
        text[at++] = '-';
    for (int i = 0; i < count; i++) {
        if (i && (count - i) % 3 == 0)
            text[at++] = ',';
        text[at++] = digits[i];
    }
    text[at] = 0;
    return text;
}

static void draw_values(const frame *f) {
    char text[40];
    for (double value = f->low; value <= f->high + f->step / 2; value += f->step) {
        double y = y_of(f, value);
        fprintf(f->out, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" class=\"%s\"/>\n", LEFT, y,
                WIDTH - RIGHT, y, fabs(value) < f->step / 2 ? "zero" : "grid");
        fprintf(f->out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n", LEFT - 10, y + 4,
                grouped(value, text));
    }
    fprintf(f->out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\" class=\"quiet\">units</text>\n", LEFT - 10,
            TOP - 14);
}

/* As much of the time as changes: 12:00:05.250, 12:00:05, 12:00; at midnight the day. */
static void draw_times(const frame *f) {
    double step = nice_time(f->to_ms - f->from_ms);
    char text[HF_TIME_TEXT];
    for (double ms = ceil(f->from_ms / step) * step; ms <= f->to_ms; ms += step) {
        double x = x_of(f, ms);
        hf_format_time((uint64_t)ms, text);
        bool is_day = step >= DAY_MS || (step >= DAY_MS / 24 && fmod(ms, DAY_MS) < 1);
        int from = is_day ? 0 : 11, length = is_day ? 10 : step >= 60e3 ? 5 : step >= 1e3 ? 8 : 12;
        fprintf(f->out, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" class=\"grid\"/>\n", x, TOP, x,
                HEIGHT - BOTTOM);
        fprintf(f->out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%.*s</text>\n", x, HEIGHT - BOTTOM + 20,
                length, text + from);
    }
    char end[HF_TIME_TEXT];
    fprintf(f->out, "<text x=\"%.1f\" y=\"%.1f\" class=\"quiet\">%s to %s</text>\n", LEFT, HEIGHT - 16,
            hf_format_time((uint64_t)f->from_ms, text), hf_format_time((uint64_t)f->to_ms, end));
}

/* ---- lines ------------------------------------------------------------------------------------------------------- */

/* A counter keeps its value until the next step: lines go sideways, then up or down. */
static void draw_series(const hf_picture *picture, const frame *f, unsigned s) {
    bool has_begun = false;
    fprintf(f->out, "<path fill=\"none\" stroke=\"%s\" stroke-width=\"%s\" stroke-linejoin=\"round\" d=\"",
            series[s].colour, series[s].width);
    for (unsigned i = 0; i < HF_PICTURE_SLICES; i++) {
        const hf_slice *slice = &picture->slices[i];
        if (!slice->is_used)
            continue;
        double x = x_of(f, (double)slice->first_ms), last = y_of(f, (double)slice->last[s]);
        if (has_begun)
            fprintf(f->out, "H%.1f", x);
        else
            fprintf(f->out, "M%.1f %.1f", x, last);
        if (slice->least[s] != slice->greatest[s])
            fprintf(f->out, "V%.1fV%.1f", y_of(f, (double)slice->greatest[s]), y_of(f, (double)slice->least[s]));
        fprintf(f->out, "V%.1f", last);
        has_begun = true;
    }
    fprintf(f->out, "H%.1f\"/>\n", WIDTH - RIGHT);
}

static const hf_slice *last_slice(const hf_picture *picture) {
    unsigned i = HF_PICTURE_SLICES - 1;
    while (i > 0 && !picture->slices[i].is_used)
        i--;
    return &picture->slices[i];
}

static void draw_legend(const hf_picture *picture, const frame *f) {
    const hf_slice *last = last_slice(picture);
    char text[40];
    for (unsigned s = 0; s < HF_PICTURE_SERIES; s++) {
        double x = LEFT + 250.0 * s;
        fprintf(f->out, "<line x1=\"%.1f\" y1=\"54\" x2=\"%.1f\" y2=\"54\" stroke=\"%s\" stroke-width=\"4\"/>\n", x,
                x + 26, series[s].colour);
        fprintf(f->out, "<text x=\"%.1f\" y=\"58\">%s, at last %s</text>\n", x + 34, series[s].name,
                grouped((double)last->last[s], text));
    }
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

static void write_escaped(FILE *out, const uint8_t *name, size_t length) {
    for (size_t at = 0; at < length;) {
        size_t count = hf_utf8_length(name + at, length - at);
        if (count == 0 || name[at] < 0x20 || name[at] == 0x7f || name[at] == '\\')
            fprintf(out, "\\x%02x", name[at]);
        else if (strchr("<>&\"", name[at]))
            fprintf(out, "&#%u;", name[at]);
        else
            fwrite(name + at, 1, count, out);
        at += count ? count : 1;
    }
}

void hf_picture_write(const hf_picture *picture, const void *name, size_t length, FILE *out) {
    frame f = {.out = out};
    make_frame(picture, &f);
    fprintf(out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" width=\"%.0f\" height=\"%.0f\" "
            "font-family=\"sans-serif\" font-size=\"13\" fill=\"#222\">\n"
            "<style>.grid{stroke:#e4e4e4}.zero{stroke:#888}.quiet{fill:#666}</style>\n"
            "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n<text x=\"%.1f\" y=\"30\" font-size=\"19\">",
            WIDTH, HEIGHT, WIDTH, HEIGHT, LEFT);
    write_escaped(out, name, length);
    fprintf(out, "<tspan dx=\"14\" class=\"quiet\" font-size=\"13\">%" PRIu64 " step%s</tspan></text>\n",
            picture->steps, picture->steps == 1 ? "" : "s");
    draw_values(&f);
    draw_times(&f);
    for (unsigned s = 0; s < HF_PICTURE_SERIES; s++)
        draw_series(picture, &f, s);
    draw_legend(picture, &f);
    fputs("</svg>\n", out);
}
