# One image for both: the server (the default) and workers (`docker run IMAGE worker --server https://...`).
FROM python:3.12-slim AS build
COPY . /source
RUN pip wheel --no-cache-dir --wheel-dir /wheels "/source[server,postgres]"

FROM python:3.12-slim
COPY --from=build /wheels /wheels
RUN pip install --no-cache-dir --no-index --find-links /wheels "aether-protocol[server,postgres]" && rm -rf /wheels \
    && useradd --create-home --uid 10001 aether && mkdir /data && chown aether /data
USER aether
WORKDIR /home/aether
VOLUME /data
EXPOSE 7234
# Others reach it, so it wants a token: AETHER_SERVER_TOKEN, or tokens made by 'aether token create'.
ENTRYPOINT ["aether"]
CMD ["serve", "--host", "0.0.0.0", "--db", "/data/aether.db"]
