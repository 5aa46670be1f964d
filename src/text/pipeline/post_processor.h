#pragma once

#include "tessera/tokenizer.h"
#include "text/json.h"

namespace tessera::text {

// The `post_processor` of tokenizer.json, as far as it changes ids: special
// tokens around a text.
class PostProcessor {
 public:
  explicit PostProcessor(const JsonField& field);
  void operator()(TokenIds& ids) const;

 private:
  void read(const JsonField& field, int depth);
  void read_template(const JsonField& field);

  TokenIds prefix_;
  TokenIds suffix_;
  bool has_template_ = false;
};

} // namespace tessera::text
