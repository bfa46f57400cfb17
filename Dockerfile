# The web page in a container, for a machine without a GPU:
#   docker build -t captioning . && docker run --rm -p 8501:8501 --read-only --tmpfs /tmp captioning
FROM python:3.12-slim

ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1

# Not root; Hugging Face's Spaces run containers as user 1000.
RUN useradd --create-home --uid 1000 page
WORKDIR /home/page/captioning

# What the page needs, before the page itself: this layer is built again only when pyproject.toml changes.
COPY pyproject.toml ./
RUN python -c "import tomllib; project = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
print(*project['dependencies'], *project['optional-dependencies']['app'], sep='\n')" > /tmp/needed.txt \
    && python -m pip install -r /tmp/needed.txt

COPY LICENSE ./
COPY captioning_utils captioning_utils
USER 1000

# VGG16's weights (61 MB), fetched here and not when the first visitor waits.
RUN python -c "from captioning_utils.encoders import find_vgg16_weights; print(find_vgg16_weights())"

COPY .streamlit .streamlit
COPY data/samples data/samples
COPY streamlit_app.py ./

EXPOSE 8501
HEALTHCHECK --start-period=60s CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8501/_stcore/health')"]
CMD ["streamlit", "run", "streamlit_app.py", "--server.address=0.0.0.0", "--server.port=8501", "--server.headless=true"]
