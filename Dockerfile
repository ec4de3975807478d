# medseg for CPUs. For CUDA: docker build --build-arg TORCH_INDEX= ... (docs/container.md)
FROM debian:bookworm-slim

# The index with builds of PyTorch; empty: the package index, whose build is for CUDA
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
# Extras of medseg, such as "openvino" or "gpu,openvino"
ARG EXTRAS=

LABEL org.opencontainers.image.title="medseg" \
      org.opencontainers.image.description="X-ray segmentation. Research use only. Not for clinical use." \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0"

RUN --mount=type=bind,target=/source \
    TORCH_INDEX="$TORCH_INDEX" EXTRAS="$EXTRAS" /source/container/install.sh /source

# Only /tmp and /work are written to, so the root file system may be read-only
ENV PATH=/opt/medseg/bin:/usr/local/bin:/usr/bin:/bin \
    HOME=/tmp \
    XDG_CACHE_HOME=/tmp/cache \
    MPLCONFIGDIR=/tmp/matplotlib \
    TORCHINDUCTOR_CACHE_DIR=/tmp/torchinductor \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    MLFLOW_DISABLE_TELEMETRY=true \
    DO_NOT_TRACK=true

USER 10001:10001
WORKDIR /work
VOLUME /work
ENTRYPOINT ["medseg"]
CMD ["--help"]
