// What tch does not show of libtorch's CUDA half: streams, pinned memory, copies that are not waited for, and
// graphs. A library of its own, libcasm_cuda.so, opened at run time (src/cuda.rs), so that nothing else of
// casm is linked with CUDA. Tensors are tch's own pointers, `at::Tensor*`.
//
// Every function that can fail takes room for a message; it returns 0 or a pointer, else -1 or null with the
// reason in the message. All but `casm_cuda_version` act on the calling thread's current stream, which
// `casm_cuda_open` makes one of its own.

#include <ATen/Functions.h>
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAStream.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace {

void store(const char* text, char* message, size_t room) {
  if (room > 0) {
    std::strncpy(message, text, room - 1);
    message[room - 1] = '\0';
  }
}

// What `work` returns; null, and the reason in `message`, if it throws.
template <class Work>
auto guarded(char* message, size_t room, Work work) -> decltype(work()) {
  try {
    return work();
  } catch (const c10::Error& error) {
    store(error.what_without_backtrace(), message, room);
  } catch (const std::exception& error) {
    store(error.what(), message, room);
  } catch (...) {
    store("an exception of no known kind", message, room);
  }
  return nullptr;
}

template <class Work>
int32_t status(char* message, size_t room, Work work) {
  static int done;
  auto* result = guarded(message, room, [&]() -> int* {
    work();
    return &done;
  });
  return result == nullptr ? -1 : 0;
}

// Streams that were given back, with their device. libtorch's own pool of 32 hands each out again and again, so
// that one engine could launch into a stream that another captures.
std::mutex idle_lock;
std::vector<std::pair<c10::DeviceIndex, cudaStream_t>> idle;

cudaStream_t take_stream(c10::DeviceIndex device) {
  std::lock_guard<std::mutex> guard(idle_lock);
  for (auto place = idle.begin(); place != idle.end(); ++place) {
    if (place->first == device) {
      cudaStream_t stream = place->second;
      idle.erase(place);
      return stream;
    }
  }
  cudaStream_t stream = nullptr;
  C10_CUDA_CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  return stream;
}

struct Graph {
  c10::cuda::MempoolId_t pool;
  c10::DeviceIndex device;
  at::cuda::CUDAGraph graph;
};

} // namespace

extern "C" {

// Changes with every change of these functions.
int32_t casm_cuda_version() {
  return 1;
}

// Gives the calling thread a stream of its own on the device. Everything that libtorch does in this thread from
// now on goes there.
void* casm_cuda_open(int32_t device, char* message, size_t room) {
  return guarded(message, room, [&]() -> void* {
    auto index = static_cast<c10::DeviceIndex>(device);
    c10::cuda::set_device(index);
    cudaStream_t stream = take_stream(index);
    c10::cuda::setCurrentCUDAStream(c10::cuda::getStreamFromExternal(stream, index));
    return stream;
  });
}

// Gives back what `casm_cuda_open` gave, in the same thread, after what is under way.
int32_t casm_cuda_close(int32_t device, void* stream, char* message, size_t room) {
  return status(message, room, [&] {
    auto index = static_cast<c10::DeviceIndex>(device);
    auto own = static_cast<cudaStream_t>(stream);
    c10::cuda::getStreamFromExternal(own, index).synchronize();
    c10::cuda::setCurrentCUDAStream(c10::cuda::getDefaultCUDAStream(index));
    std::lock_guard<std::mutex> guard(idle_lock);
    idle.emplace_back(index, own);
  });
}

// Waits until all that was launched in this thread is done.
int32_t casm_cuda_wait(char* message, size_t room) {
  return status(message, room, [] { c10::cuda::getCurrentCUDAStream().synchronize(); });
}

// A tensor of `bytes` bytes in the host's memory that the device reads and writes by itself.
at::Tensor* casm_cuda_pinned(int64_t bytes, char* message, size_t room) {
  return guarded(message, room, [&] {
    auto options = at::TensorOptions().dtype(at::kByte).pinned_memory(true);
    return new at::Tensor(at::empty({bytes}, options));
  });
}

// Copies `from` into `to` without waiting for it, if the host's side is pinned.
int32_t casm_cuda_copy(at::Tensor* to, const at::Tensor* from, char* message, size_t room) {
  return status(message, room, [&] { to->copy_(*from, /*non_blocking=*/true); });
}

// From here on, what is launched in this thread is recorded rather than run. Other threads go on undisturbed.
Graph* casm_cuda_graph_begin(char* message, size_t room) {
  return guarded(message, room, [&]() -> Graph* {
    auto pool = at::cuda::graph_pool_handle();
    auto graph = std::unique_ptr<Graph>(new Graph{pool, c10::cuda::current_device(), {}});
    try {
      graph->graph.capture_begin(pool, cudaStreamCaptureModeThreadLocal);
    } catch (...) {
      try {
        c10::cuda::CUDACachingAllocator::endAllocateToPool(graph->device, pool);
      } catch (...) {
        // It had not begun.
      }
      throw;
    }
    return graph.release();
  });
}

// Ends the record. After a failure the graph is still to be dropped, and nothing else.
int32_t casm_cuda_graph_end(Graph* graph, char* message, size_t room) {
  return status(message, room, [&] {
    try {
      graph->graph.capture_end();
    } catch (...) {
      // An invalid capture throws before the allocator is told that it is over.
      try {
        c10::cuda::CUDACachingAllocator::endAllocateToPool(graph->device, graph->pool);
        c10::cuda::CUDACachingAllocator::releasePool(graph->device, graph->pool);
      } catch (...) {
        // It was told.
      }
      throw;
    }
  });
}

// Runs what was recorded, on the memory that it was recorded with.
int32_t casm_cuda_graph_replay(Graph* graph, char* message, size_t room) {
  return status(message, room, [&] { graph->graph.replay(); });
}

// Frees the record and its memory; nothing of it may be under way.
void casm_cuda_graph_drop(Graph* graph) {
  delete graph;
}
}
