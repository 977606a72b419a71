/* A record of a log as one line of text or JSON. */
#ifndef HF_RECORD_H
#define HF_RECORD_H

#include "text.h"

void hf_put_record_text(hf_writer *out, const hf_record *record);
void hf_put_record_json(hf_writer *out, const hf_record *record);

#endif
