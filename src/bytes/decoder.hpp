// zstd's streaming decoder: what comes out goes to a taker piece by piece and is never held whole.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bytes/view.hpp"

struct ZSTD_DCtx_s;

namespace coldcase {

class Decoder {
 public:
  // Gets the next bytes of the content; false when it wants no more.
  using Take = std::function<bool(Bytes piece)>;

  Decoder();
  // Empty, or why decoding cannot go on.
  std::string feed(Bytes in, const Take& take);
  bool inside_frame() const { return left_ != 0; }
  void start_anew();

 private:
  struct Free {
    void operator()(ZSTD_DCtx_s* decoder) const;
  };
  std::unique_ptr<ZSTD_DCtx_s, Free> decoder_;
  std::vector<std::byte> out_;
  std::size_t left_ = 0;
};

}  // namespace coldcase
