"""The dashboard's pages: each takes a view of an audit and draws. No loading, no arithmetic."""

from reports.faces_page import errors_page  # noqa: F401
from reports.view import View
import streamlit as st


def overview_page(view: View) -> None:
    st.write("overview")


subgroups_page = calibration_page = slices_page = data_page = overview_page
