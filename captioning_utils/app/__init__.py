"""The logic behind `streamlit_app.py`, without Streamlit."""
