#include "text/pipeline/post_processor.h"

#include "text/pipeline/normalizer.h"

namespace tessera::text {

PostProcessor::PostProcessor(const JsonField& field) {
  if (!field.is_null()) {
    read(field, 0);
  }
}

void PostProcessor::read(const JsonField& field, int depth) {
  const auto& type = field["type"].text();
  if (depth > max_nesting) {
    field.refuse("fewer nested sequences");
  }
  if (type == "Sequence") {
    for (const auto& step : field["processors"].elements()) {
      read(step, depth + 1);
    }
  } else if (type == "TemplateProcessing") {
    read_template(field);
  } else if (type != "ByteLevel") { // trims offsets, which we do not give
    field["type"].refuse(
        "a supported post-processor (Sequence, TemplateProcessing, ByteLevel)");
  }
}

void PostProcessor::read_template(const JsonField& field) {
  if (has_template_) {
    field.refuse("one TemplateProcessing");
  }
  has_template_ = true;
  bool behind = false;
  for (const auto& piece : field["single"].elements()) {
    auto special = piece["SpecialToken"];
    if (special.is_null()) {
      auto sequence = piece["Sequence"]["id"];
      if (behind || sequence.text() != "A") {
        sequence.refuse("the sequence A, once");
      }
      behind = true;
      continue;
    }
    auto ids = field["special_tokens"][special["id"].text()]["ids"];
    for (const auto& id : ids.elements()) {
      (behind ? suffix_ : prefix_).push_back(id.natural());
    }
  }
  if (!behind) {
    field["single"].refuse("the sequence A, once");
  }
}

void PostProcessor::operator()(TokenIds& ids) const {
  ids.insert(ids.begin(), prefix_.begin(), prefix_.end());
  ids.insert(ids.end(), suffix_.begin(), suffix_.end());
}

} // namespace tessera::text
